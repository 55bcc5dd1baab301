"""What collectd and Telegraf need of us: their adapters, and what these share."""

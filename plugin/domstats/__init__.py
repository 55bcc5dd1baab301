"""domstats: statistics of every domain of a libvirt hypervisor, for collectd and Telegraf."""

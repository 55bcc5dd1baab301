"""What a user sets: options, both configurations' parsers, and ready files."""

"""The decisions, pure: no thread, clock or libvirt."""

"""libvirt and this host, as plain values."""

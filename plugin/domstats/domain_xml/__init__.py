"""What a domain's XML says: devices, where its disks lie, labels. Pure text in, values out."""

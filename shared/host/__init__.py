"""What the machine or container allows: cores, memory, disk and file descriptors."""

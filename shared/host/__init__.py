"""Limits of the machine or container: cores, memory, disk and file descriptors."""

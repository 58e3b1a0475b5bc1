"""Request bodies: forms, multipart and JSON, read within bounds of size, time and memory."""

"""Bulk import: the photos of a folder, a CSV file or a ZIP file, added through a running service."""

"""Recognition measured on a folder of photos, and calibrations fitted to it."""

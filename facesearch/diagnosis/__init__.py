"""Findings on what is installed, reachable and ready, for `facesearch doctor`."""

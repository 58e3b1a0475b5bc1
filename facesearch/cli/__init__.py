"""The commands of `facesearch`, one module for each."""

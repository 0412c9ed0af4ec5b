"""One published recipe a file; the folder is the registry."""

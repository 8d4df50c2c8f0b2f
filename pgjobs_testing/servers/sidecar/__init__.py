"""The process that holds the embedded server: see `__main__`."""

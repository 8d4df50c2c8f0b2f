"""Virtual time for the async jobs of a test, on a loop whose other users keep real time."""

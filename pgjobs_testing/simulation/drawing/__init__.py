"""What a seed draws: a whole world as the data of a scenario file, so that a seed is a file at any time."""

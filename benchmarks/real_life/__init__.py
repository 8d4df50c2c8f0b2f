"""What becomes of it in real life: a far database, a small pool, long jobs among short ones, failures."""

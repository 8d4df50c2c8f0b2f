"""``python -m pgjobs.cli``."""

from pgjobs.cli import main

main(prog_name="pgjobs")

"""The gallery is what its failing tests give today."""

import subprocess
import sys
from pathlib import Path

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"


def test_the_gallery_is_what_its_failing_tests_give() -> None:
    command = [sys.executable, str(GALLERY / "make.py"), "--check"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=GALLERY
    )
    assert (done.stderr, done.returncode) == ("", 0), done.stdout

"""``python -m signup ada@example.org``: sign somebody up."""

import sys

from signup.app import register
from signup.queue import jobs

for email in sys.argv[1:]:
    print(f"account {register(email)} for {email}")
jobs.stop()

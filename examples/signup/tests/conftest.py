"""Each test has accounts of its own, and a mailbox that keeps what was sent."""

import pytest

from signup import mailer


@pytest.fixture(autouse=True)
def mailbox(tmp_path, monkeypatch):
    """What was sent: (address, subject), in order."""
    monkeypatch.setenv("SIGNUP_ACCOUNTS", str(tmp_path / "accounts.sqlite"))
    sent = []
    monkeypatch.setattr(mailer, "send", lambda to, subject: sent.append((to, subject)))
    return sent

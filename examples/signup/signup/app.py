"""What the web views call."""

from pgjobs import next_at

from signup import accounts
from signup.queue import jobs
from signup.workers import CheckAddress, newsletter, remind


def register(email: str, tz: str = "Etc/UTC") -> int:
    """Make an account; the first reminder comes at nine in the morning, where the person is."""
    account_id = accounts.create(email, tz)
    args = {"account_id": account_id}
    jobs.insert_all(
        [CheckAddress.new(args), remind.new(args, scheduled_at=next_at("09:00", tz=tz))]
    )
    return account_id


def confirm(account_id: int) -> None:
    accounts.set_status(account_id, "confirmed")


def close(account_id: int) -> int:
    """Close an account, and cancel what still waits for it; return how many jobs."""
    accounts.set_status(account_id, "closed")
    return jobs.cancel_all_jobs(args={"account_id": account_id})


async def announce(subject: str, account_ids: list[int]) -> None:
    await jobs.insert_async(newsletter.new({"subject": subject, "account_ids": account_ids}))

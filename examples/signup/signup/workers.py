"""What happens after somebody signed up."""

from pgjobs import Cancel, Discard, Job, Retry, Snooze, backoff, worker

from signup import accounts, avatars, directory, mailer
from signup.queue import jobs

DAY = 86_400
REMINDERS = 3


@worker(max_attempts=4, backoff=backoff.linear(60), tags=["signup"])
class CheckAddress:
    """Is there a mailbox? If so, welcome the person and fetch their picture."""

    def perform(self, job: Job) -> Discard | None:
        account = accounts.get(job.args["account_id"])
        domain = account.email.rpartition("@")[2]
        if not directory.accepts_mail(domain):
            accounts.set_status(account.id, "closed")
            return Discard(f"{domain} takes no mail")
        jobs.insert_all([send_welcome.new(job.args), FetchAvatar.new(job.args)])
        return None


@worker(queue="mail", priority=1, timeout=10)
async def send_welcome(job: Job) -> None:
    account = accounts.get(job.args["account_id"])
    await mailer.send_async(account.email, "Welcome! Please confirm your address")


@worker(max_attempts=3)
class FetchAvatar:
    """The picture service is slow at times: later attempts get more time."""

    def timeout(self, job: Job) -> float:
        return 5 * job.attempt

    async def perform(self, job: Job) -> Retry | None:
        account = accounts.get(job.args["account_id"])
        picture = await avatars.fetch(account.email)
        if not picture:
            return Retry("the picture is not ready")
        accounts.set_avatar(account.id, len(picture))
        return None


@worker(queue="mail")
def remind(job: Job) -> Snooze | Cancel | None:
    """Once a day until the address is confirmed; after the last reminder the account is closed."""
    account = accounts.get(job.args["account_id"])
    if account.status != "new":
        return Cancel(f"the account is {account.status}")
    if job.snoozed < REMINDERS:
        mailer.send(account.email, f"Reminder {job.snoozed + 1} of {REMINDERS}")
        return Snooze(DAY)
    jobs.insert(close_account.new(job.args, schedule_in=3600))
    return None


@worker(queue="mail", tags=["signup"])
def close_account(job: Job) -> Discard | None:
    account = accounts.get(job.args["account_id"])
    if account.status == "confirmed":
        return Discard("confirmed in the last hour")
    accounts.set_status(account.id, "closed")
    mailer.send(account.email, "Your account was closed")
    return None


@worker(name="signup.newsletter", max_attempts=1)
async def newsletter(job: Job) -> None:
    """Under a name of its own, so that it can move to another module while jobs wait."""
    for account_id in job.args["account_ids"]:
        await mailer.send_async(accounts.get(account_id).email, job.args["subject"])

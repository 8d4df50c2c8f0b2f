"""The suite of the application. It is the same in all three modes.

Tests look at what was done, and at jobs that wait for a later time: both are alike in every mode.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pgjobs import Cancel, Discard, JobTimeoutError, Retry, Snooze
from pgjobs_testing import ANY

from signup import accounts, app, avatars, directory
from signup.workers import (
    DAY,
    CheckAddress,
    FetchAvatar,
    close_account,
    newsletter,
    remind,
    send_welcome,
)

SUNDAY = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
HOUR = 3600


def test_whoever_registers_is_welcomed_and_gets_a_picture(jobs, mailbox):
    ada = app.register("ada@example.org")
    jobs.advance(1)
    assert mailbox == [("ada@example.org", "Welcome! Please confirm your address")]
    assert accounts.get(ada).avatar > 0


@pytest.mark.pgjobs(start=SUNDAY)
def test_the_first_reminder_waits_for_nine_in_the_morning_where_the_person_is(jobs):
    ada = app.register("ada@example.org", tz="America/New_York")
    jobs.assert_enqueued(
        worker=remind,
        queue="mail",
        args={"account_id": ada},
        scheduled_at=datetime(2025, 6, 1, 13, 0, tzinfo=UTC),
        count=1,
    )


@pytest.mark.pgjobs(start=SUNDAY)
def test_who_never_confirms_is_reminded_three_times_and_closed(jobs, mailbox):
    ada = app.register("ada@example.org")
    jobs.advance(21 * HOUR)  # Monday, nine o'clock
    assert mailbox[1:] == [("ada@example.org", "Reminder 1 of 3")]
    reminder = jobs.assert_enqueued(worker=remind, scheduled_in=DAY)
    assert (reminder.state, reminder.attempt, reminder.snoozed) == ("scheduled", 0, 1)

    jobs.advance(3 * DAY)
    jobs.assert_enqueued(worker=close_account, args={"account_id": ada}, scheduled_in=HOUR)
    jobs.advance(HOUR)

    assert accounts.get(ada).status == "closed"
    subjects = [subject for _, subject in mailbox]
    assert subjects[2:] == ["Reminder 2 of 3", "Reminder 3 of 3", "Your account was closed"]
    jobs.refute_enqueued()


@pytest.mark.pgjobs(start=SUNDAY)
def test_who_confirms_is_reminded_no_more(jobs, mailbox):
    ada = app.register("ada@example.org")
    jobs.advance(HOUR)
    app.confirm(ada)
    jobs.travel_to(jobs.next_at("09:00"))
    (reminder,) = jobs.all_jobs(worker=remind)
    assert reminder.state == "cancelled"
    assert reminder.last_error == "the account is confirmed"
    assert len(mailbox) == 1


def test_who_closes_the_account_is_left_in_peace(jobs, mailbox):
    ada = app.register("ada@example.org")
    app.register("grace@example.org")
    jobs.advance(1)
    assert app.close(ada) == 1
    jobs.refute_enqueued(args={"account_id": ada})
    jobs.assert_enqueued(worker=remind, count=1)


def test_an_address_that_takes_no_mail_is_discarded(jobs, mailbox):
    ada = app.register("ada@nowhere.invalid")
    jobs.advance(1)
    (check,) = jobs.all_jobs(worker=CheckAddress)
    assert check.state == "discarded"
    assert (check.attempt, check.last_error) == (1, "nowhere.invalid takes no mail")
    assert accounts.get(ada).status == "closed"
    assert mailbox == []


def test_a_directory_that_is_down_is_asked_again_after_one_minute_and_two_more(
    jobs, mailbox, monkeypatch
):
    def down(domain):
        raise ConnectionError("no answer")

    monkeypatch.setattr(directory, "accepts_mail", down)
    app.register("ada@example.org")
    jobs.advance(120)
    starts = [at.at for at in jobs.timeline.of("start") if at.job.worker == CheckAddress.name]
    assert starts[1] - starts[0] == timedelta(minutes=1)
    waiting = jobs.assert_enqueued(worker=CheckAddress, state="retryable", scheduled_in=60)
    assert waiting.attempt == 2
    assert [error["attempt"] for error in waiting.errors] == [1, 2]
    assert "ConnectionError: no answer" in waiting.last_error

    monkeypatch.setattr(directory, "accepts_mail", lambda domain: True)
    jobs.advance(61)
    assert jobs.get_job(waiting).state == "completed"
    assert len(mailbox) == 1


def test_a_picture_service_that_hangs_costs_five_then_ten_then_fifteen_seconds(
    jobs, mailbox, monkeypatch
):
    async def hangs(email):
        await asyncio.sleep(1e6)

    monkeypatch.setattr(avatars, "fetch", hangs)
    ada = app.register("ada@example.org")
    jobs.advance(5)
    first = jobs.assert_enqueued(worker=FetchAvatar, state="retryable")
    assert "JobTimeoutError" in first.last_error
    jobs.advance(16 + 10 + 31 + 15)
    given_up = jobs.get_job(first)
    assert (given_up.state, given_up.attempt) == ("discarded", 3)
    limits = [error["error"].rpartition("limit of ")[2] for error in given_up.errors]
    assert limits == ["0:00:05", "0:00:10", "0:00:15"]
    assert accounts.get(ada).avatar == 0
    assert len(mailbox) == 1  # the welcome did not wait for the picture


@pytest.mark.pgjobs(mode="manual")  # inline the welcome is sent within register, in no time
def test_a_slow_mail_server_costs_no_real_time(jobs, mailbox, monkeypatch):
    async def slow(to, subject):
        await asyncio.sleep(9)
        mailbox.append((to, subject))

    monkeypatch.setattr("signup.mailer.send_async", slow)
    app.register("ada@example.org")
    jobs.advance(8)
    assert mailbox == []
    jobs.advance(1)
    assert len(mailbox) == 1
    (welcome,) = jobs.all_jobs(worker=send_welcome)
    assert welcome.completed_at - welcome.attempted_at == timedelta(seconds=9)


def test_the_answers_of_each_worker(jobs, mailbox, monkeypatch):
    ada = accounts.create("ada@example.org", "Etc/UTC")
    args = {"account_id": ada}
    assert jobs.perform_job(CheckAddress, args) is None
    assert jobs.perform_job(send_welcome, args) is None
    assert jobs.perform_job(remind, args) == Snooze(DAY)
    assert jobs.perform_job(remind, args, meta={"snoozed": 3}) is None
    app.confirm(ada)
    assert jobs.perform_job(remind, args) == Cancel("the account is confirmed")
    assert jobs.perform_job(close_account, args) == Discard("confirmed in the last hour")

    async def nothing(email):
        return b""

    monkeypatch.setattr(avatars, "fetch", nothing)
    assert jobs.perform_job(FetchAvatar, args) == Retry("the picture is not ready")


def test_a_worker_alone_is_held_to_its_time_limit(jobs, monkeypatch):
    async def hangs(email):
        await asyncio.sleep(1e6)

    monkeypatch.setattr(avatars, "fetch", hangs)
    ada = accounts.create("ada@example.org", "Etc/UTC")
    with pytest.raises(JobTimeoutError):
        jobs.perform_job(FetchAvatar, {"account_id": ada}, attempt=2)


def test_a_worker_raises_what_it_raises_when_it_is_tried_alone(jobs):
    with pytest.raises(LookupError, match="no account 404"):
        jobs.perform_job(send_welcome, {"account_id": 404})


def test_an_announcement_goes_to_everybody(jobs, mailbox):
    both = [accounts.create(f"{name}@example.org", "Etc/UTC") for name in ("ada", "grace")]
    asyncio.run(app.announce("We are open", both))
    jobs.drain_queue()
    assert mailbox == [
        ("ada@example.org", "We are open"),
        ("grace@example.org", "We are open"),
    ]
    (sent,) = jobs.all_jobs(worker=newsletter, state="completed")
    assert sent.worker == "signup.newsletter"


@pytest.mark.pgjobs(start=SUNDAY)
def test_the_timeline_reads_like_the_story(jobs):
    app.register("ada@example.org")
    jobs.travel_to(datetime(2025, 6, 2, 9, 0, tzinfo=UTC))
    done = [moment.job.worker.rpartition(".")[2] for moment in jobs.timeline.of("completed")]
    assert done[0] == "CheckAddress"
    assert sorted(done[1:]) == ["FetchAvatar", "send_welcome"]
    (reminded,) = [at for at in jobs.timeline.of("scheduled") if at.job.worker == remind.name]
    assert reminded.at == datetime(2025, 6, 2, 9, 0, tzinfo=UTC)


@pytest.mark.pgjobs(mode="manual")
def test_nothing_runs_before_the_test_says_so(jobs, mailbox):
    ada = app.register("ada@example.org")
    jobs.assert_enqueued(worker=CheckAddress, args={"account_id": ANY}, state="available")
    assert mailbox == []
    result = jobs.drain_queue("default", with_recursion=False)
    assert result == {"completed": 1}
    jobs.assert_enqueued(worker=send_welcome, args={"account_id": ada}, priority=1)
    assert jobs.drain_queue() == {"completed": 2}


@pytest.mark.pgjobs(mode="inline")
def test_inline_what_is_due_has_run_when_insert_returns(jobs, mailbox):
    ada = app.register("ada@example.org")
    assert len(mailbox) == 1
    (picture,) = jobs.all_jobs(worker=FetchAvatar, args={"account_id": ada})
    assert picture.state == "completed"  # it awaited 0.2 s, which took no time

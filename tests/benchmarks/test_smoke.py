"""``make bench-smoke`` notices what grew: by its rules, and by the counts themselves."""

from __future__ import annotations

import sys
import tomllib

import pytest

from benchmarks.smoke import bounds, python
from benchmarks.smoke.__main__ import PARTS, main
from benchmarks.smoke.bounds import Answer, Bound, Found, Verdict
from benchmarks.smoke.stepped import Stepped
from benchmarks.smoke.wire import tapped
from pgjobs import MemoryStore, Queue
from pgjobs.adapters.memory import jobs as memory_jobs
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Settle
from pgjobs_testing.stores import LocalPostgres


@pytest.mark.parametrize(
    "value, answer",
    [
        (100, Answer.OK),
        (105, Answer.OK),
        (105.01, Answer.GROWN),
        (90, Answer.OK),
        (89.9, Answer.TIGHTEN),
        (0, Answer.TIGHTEN),
    ],
)
def test_a_count_is_held_against_what_was_measured_and_its_slack(value, answer):
    verdict = Verdict(Found("calls", "a job", value), Bound(100, 0.05))
    assert answer is verdict.answer
    assert verdict.fails is (answer is Answer.GROWN)


def test_nothing_is_let_pass_where_nothing_was_measured():
    found = Found("imports", "heavy modules", 1, said="hypothesis")
    verdict = Verdict(found, Bound(0, 0.05))
    assert Answer.GROWN is verdict.answer
    assert verdict.line().endswith("hypothesis")


def test_a_bound_of_another_interpreter_is_none():
    held = {"calls": {"a job": {"3.11": {"measured": 10, "slack": 0.05}}}}
    (same,) = bounds.judged([Found("calls", "a job", 99, interpreter="3.11")], held)
    (other,) = bounds.judged([Found("calls", "a job", 99, interpreter="3.99")], held)
    assert (Answer.GROWN, Answer.UNBOUND) == (same.answer, other.answer)
    assert not other.fails


def test_what_is_written_is_read_again_and_keeps_other_interpreters():
    held = {
        "calls": {
            "a job": {"3.11": {"measured": 10, "slack": 0.05}},
            "an insert": {"3.11": {"measured": 5, "slack": 0.05}},
        }
    }
    found = [
        Found("calls", "a job", 8.127, interpreter="3.12"),
        Found("statements", "a node, 1,000 jobs", 21),
    ]
    text = bounds.written(bounds.renewed(found, held), "# why")
    assert text.startswith("# why\n")
    assert {
        "calls": {
            "a job": {
                "3.11": {"measured": 10, "slack": 0.05},
                "3.12": {"measured": 8.13, "slack": 0.05},
            },
            "an insert": {"3.11": {"measured": 5, "slack": 0.05}},
        },
        "statements": {"a node, 1,000 jobs": {"measured": 21, "slack": 0.05}},
    } == tomllib.loads(text)


def test_every_bound_of_the_repository_belongs_to_a_part_that_is_counted():
    held = bounds.read()
    assert sorted(PARTS) == sorted(held)
    assert bounds.preface() in bounds.BOUNDS.read_text()


def test_the_command_fails_where_a_bound_is_exceeded_and_says_what_to_do(tmp_path, capsys):
    held = tmp_path / "bounds.toml"
    name = f'"import pgjobs: modules"."{python.VERSION}"'
    held.write_text(f"# mine\n[imports]\n{name} = {{ measured = 3, slack = 0.05 }}\n")
    assert 1 == main(["imports", "--bounds", str(held)])
    told = capsys.readouterr().out
    (row,) = [each for each in told.splitlines() if each.startswith("import pgjobs: modules")]
    found, measured, most, answer, grown = row.split("[imports]")[1].split()
    assert ("3.00", "3.15", "GROWN") == (measured, most, answer)
    assert float(found) > 3
    assert f"{float(found) / 3 - 1:+.1%}" == grown
    assert f"writes what was found into {held}" in " ".join(told.split())
    assert 0 == main(["imports", "--bounds", str(held), "--renew"])
    renewed = bounds.read(held)["imports"]["import pgjobs: modules"][python.VERSION]
    assert float(found) == renewed["measured"]
    assert held.read_text().startswith("# mine\n")


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["call"])
    assert "unknown part 'call': statements live" in capsys.readouterr().err


def test_equal_work_makes_equal_calls_and_more_work_is_noticed(monkeypatch):
    """What a careless change would do: every settled job is read once more."""

    def made():
        node = Stepped(MemoryStore(), Queue(concurrency=10))
        node.insert(100)
        return python.calls(node.run)

    def careless(tables, effect):
        counted = settle(tables, effect)
        for each in effect.settlements:
            tables.jobs.read(tables.jobs.by_id[each.id])
        return counted

    before = [made() for _ in range(3)][1:]
    assert before[0] == before[1]
    settle = memory_jobs.settle
    monkeypatch.setitem(_carry_out(), Settle, careless)
    verdict = Verdict(Found("calls", "a job", made()), Bound(before[0], 0.05))
    assert Answer.GROWN is verdict.answer


def _carry_out():
    from pgjobs.adapters.memory import store

    return store._CARRY_OUT


class OneByOne(LocalPostgres):
    """A store that saves each outcome in a statement of its own."""

    def carry_out(self, effect):
        if isinstance(effect, Settle) and len(effect.settlements) > 1:
            return [
                LocalPostgres.carry_out(self, Settle((each,)))[0] for each in effect.settlements
            ]
        return super().carry_out(effect)


@pytest.mark.pgjobs(mode="live")
@pytest.mark.skipif(sys.platform != "linux", reason="libpq traces on Linux alone")
def test_a_store_that_settles_one_by_one_sends_more_than_its_bound(new_database):
    def sent(kind):
        store = PostgresStore(new_database())
        store.migrate()
        with tapped() as wire:
            node = Stepped(kind(PostgresStore(store.dsn)), Queue(concurrency=50))
            node.insert(1)
            node.run()
            node.insert(100)
            return wire.sent(node.run)

    batched, careless = sent(LocalPostgres), sent(OneByOne)
    assert batched.statements <= 10
    assert careless.statements >= batched.statements + 98
    assert careless.round_trips >= batched.round_trips + 98
    bound = Bound(batched.statements, 0.05)
    assert Answer.GROWN is Verdict(Found("statements", "a node", careless.statements), bound).answer

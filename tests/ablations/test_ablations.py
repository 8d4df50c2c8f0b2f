"""The suite finds bugs: faults are put into copies of the engine, and each of them raises its alarm.

``make ablations`` replays the recorded killer of every one; without ``--ablations`` only one of each room is
replayed. Who kills what is found, and recorded, by ``python -m tests.ablations --table``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgjobs_testing.servers import Server
from tests.ablations import asking, records, table
from tests.ablations.ablation import PACKAGE, ROOT, Ablation, Edit, StaleAblationError
from tests.ablations.asking import Nursery, broken, unexpected
from tests.ablations.catalogue import ABLATIONS, ROOMS
from tests.ablations.catalogue.bugs import SHIPPED
from tests.ablations.layers import there
from tests.ablations.search import SECONDS, Kill, replay

KILLS = records.read()


def quickest(ablations: tuple[Ablation, ...]) -> list[Ablation]:
    """The one whose kill took least; none where none is recorded yet."""
    recorded = [each for each in ablations if each.name in KILLS]
    return sorted(recorded, key=lambda each: KILLS[each.name].seconds)[:1]


SAMPLE = [each for ablations in ROOMS.values() for each in quickest(ablations)]


@pytest.fixture(scope="module")
def nursery(server: Server) -> Iterator[Nursery]:
    with Nursery(server.create_database, server.dsn) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "replayed" in metafunc.fixturenames:
        every = metafunc.config.getoption("--ablations", default=False)
        chosen = [each for each in ABLATIONS if each.name in KILLS] if every else SAMPLE
        metafunc.parametrize("replayed", chosen, ids=[each.name for each in chosen])


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: each.name)
def test_the_engine_has_what_an_ablation_changes(ablation: Ablation) -> None:
    for file, text in ablation.sources(ROOT / PACKAGE).items():
        if file.endswith(".py"):
            compile(text, file, "exec")


def test_an_ablation_whose_text_is_gone_or_there_twice_says_so() -> None:
    for text in ("", "here and here"):
        with pytest.raises(StaleAblationError, match="not once"):
            Edit("rules/job.py", "here", "there").apply(text)


def test_the_alarms_that_an_ablation_names_are_there() -> None:
    invariants = _text("pgjobs_testing/invariants")
    tests = _text("tests", "pgjobs_testing/conformance")
    for ablation in ABLATIONS:
        assert ablation.tests or ablation.invariants, ablation.name
        for name in ablation.invariants:
            assert f'"{name}"' in invariants, f"{ablation.name}: no invariant is named {name}"
        for name in ablation.tests:
            known = there(name, tests) or (ROOT / "scenarios" / name).is_file()
            assert known, f"{ablation.name}: there is no {name}"


def _text(*places: str) -> str:
    """All the source below some places."""
    files = [each for place in places for each in sorted((ROOT / place).rglob("*.py"))]
    return "\n".join(each.read_text("utf-8") for each in files)


def test_a_bug_that_is_recreated_was_somebodys() -> None:
    assert {each.bug for each in ABLATIONS if each.bug is not None} == {*SHIPPED}


def test_no_two_ablations_are_one() -> None:
    assert len({each.name for each in ABLATIONS}) == len(ABLATIONS)
    assert len({each.edits for each in ABLATIONS}) == len(ABLATIONS)


def test_every_ablation_was_killed_and_the_page_tells_of_it() -> None:
    assert [each.name for each in ABLATIONS] == [*KILLS]
    assert table.PAGE.read_text("utf-8") == table.page(KILLS)


def test_the_median_kill_of_the_simulation_needs_fifty_seeds_at_most() -> None:
    seeds = sorted(kill.tried for kill in KILLS.values() if kill.layer == "simulation")
    assert seeds[len(seeds) // 2] <= 50


@pytest.mark.postgres
def test_a_fault_raises_its_alarm(replayed: Ablation, nursery: Nursery) -> None:
    answer = replay(replayed, KILLS[replayed.name], nursery)
    assert answer.get("killer") is not None, unexpected(answer) or "no alarm went off"


@pytest.mark.postgres
def test_no_alarm_goes_off_on_the_engine_as_it_is(
    nursery: Nursery, request: pytest.FixtureRequest
) -> None:
    chosen = ABLATIONS if request.config.getoption("--ablations", default=False) else SAMPLE
    kills = [KILLS[each.name] for each in chosen if each.name in KILLS]
    with broken(None) as place:
        for store in ("memory", "postgres"):
            if seeds := seeds_of(kills, store):
                found = asking.seeds(place, nursery, store, seeds, (), 600.0)
                assert (found.get("tried"), unexpected(found)) == (len(seeds), [])
        tests = sorted({kill.killer for kill in kills if isinstance(kill.killer, str)})
        if tests:
            found = asking.tests(place, nursery, tests, None, SECONDS["tests"], hangs=False)
            assert (found.get("code"), unexpected(found)) == (0, [])


def seeds_of(kills: list[Kill], store: str) -> list[int]:
    """The seeds that killed something on a store."""
    return sorted(
        {kill.killer for kill in kills if isinstance(kill.killer, int) and kill.store == store}
    )

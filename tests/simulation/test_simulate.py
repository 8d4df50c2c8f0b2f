"""``pgjobs-testing simulate``: what it prints and writes, how it ends, and its exit status."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from select import select

import pytest
from click.testing import CliRunner, Result

from pgjobs_testing.cli import main
from pgjobs_testing.simulation.campaign import Summary
from pgjobs_testing.simulation.interrupts import Interrupts
from tests.simulation import worlds

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--jobs", "5", "-j", "0")


def simulate(world: str, *arguments: str) -> Result:
    named = f"tests.simulation.worlds:{world}"
    return CliRunner().invoke(main, ["simulate", "--world", named, *arguments])


def begin(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """The command in a process group of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), worlds.FOLDER: str(folder)}
    environ.pop("PGJOBS_CAPTURED_BY", None)
    return subprocess.Popen(
        [sys.executable, "-m", "pgjobs_testing.cli", "simulate", *arguments],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    return tmp_path


def test_seeds_without_alarm_exit_with_0_and_the_digest_comes_last():
    result = simulate("shop", "--seeds", "3..7", *SMALL)
    assert 0 == result.exit_code
    first, marks, last = result.stdout.splitlines()
    assert re.fullmatch(
        r"5 seeds \(3\.\.7\) on memory: no alarm, \d+ events, [\d.e+]+ seeds/s, 25s of virtual time",
        first,
    )
    assert re.fullmatch(r"marks: cancelled \d+", marks)
    assert re.fullmatch(r"digest: [0-9a-f]{32}", last)
    assert "" == result.stderr
    assert last == simulate("shop", "--seeds", "3..7", *SMALL).stdout.splitlines()[-1]
    assert last != simulate("shop", "--seeds", "3..8", *SMALL).stdout.splitlines()[-1]


def test_an_alarm_exits_with_1_and_leaves_the_way_back_to_it(here):
    result = simulate("alarming", "--seeds", "1..5", "--write", "alarms", *SMALL)
    assert 1 == result.exit_code
    assert [
        "seed 3: permits: 3 of 2 are out",
        "  drawn: 5 jobs",
        "  again: pgjobs-testing simulate --seed 3 --jobs 5 --world tests.simulation.worlds:alarming",
        "  scenario: alarms/alarm-3.scenario.yaml",
    ] == result.stderr.splitlines()
    assert "name: seed 3\n" == (here / "alarms" / "alarm-3.scenario.yaml").read_text()
    assert "5 seeds (1..5) on memory: 1 alarm, " in result.stdout
    assert "alarms of seeds 3" in result.stdout.splitlines()
    alone = simulate("alarming", "--seed", "3", *SMALL)
    assert (1, result.stderr.splitlines()[:3]) == (alone.exit_code, alone.stderr.splitlines()[:3])
    assert (here / "alarm-3.scenario.yaml").exists()


def test_a_scenario_that_cannot_be_written_is_told_and_ends_nothing(here):
    (here / "alarms").write_text("a file")
    wrong = simulate("alarming", "--seed", "3", "--write", "alarms/deeper", *SMALL)
    assert 1 == wrong.exit_code
    refused, told = wrong.stderr.splitlines()[3:]
    assert "alarm-3.scenario.yaml cannot be written: " in refused
    assert "    name: seed 3" == told
    assert wrong.stdout.splitlines()[-1].startswith("digest: ")


def test_a_campaign_ends_after_so_many_alarms():
    result = simulate("alarming", "--seeds", "0..50", "--max-alarms", "2", *SMALL)
    assert 1 == result.exit_code
    first, second, alarms, *_ = result.stdout.splitlines()
    assert "ended early, at 2 alarms (--max-alarms)" == first
    assert second.startswith("4 seeds (0..3) on memory: 2 alarms, ")
    assert "alarms of seeds 0, 3" == alarms


def test_twice_finds_what_decides_a_world_of_ones_own_besides_its_seed(monkeypatch):
    monkeypatch.setattr(worlds, "_plays", count(1))
    result = simulate("counting", "--seeds", "0..3", "--twice", *SMALL)
    assert 1 == result.exit_code
    alarm, _, again = result.stderr.splitlines()
    assert (
        "seed 2: something besides the seed decides: its digest is play 1, and play 2 when it is "
        "played again"
    ) == alarm
    assert "simulate --seed 2 --jobs 5 --twice --world tests.simulation.worlds:counting" in again
    assert "4 seeds (0..3) on memory: 1 alarm, " in result.stdout
    assert 0 == simulate("counting", "--seeds", "0..3", *SMALL).exit_code


def test_twice_tells_of_an_alarm_that_only_the_second_play_has(monkeypatch):
    monkeypatch.setattr(worlds, "_plays", count(1))
    result = simulate("tiring", "--seed", "0", "--twice", *SMALL)
    assert 1 == result.exit_code
    told = "seed 0: it held, and played again it did not: permits: 3 of 2 are out"
    assert told == result.stderr.splitlines()[0]


@pytest.mark.postgres
@pytest.mark.parametrize("store", ["memory", "both"])
def test_twice_says_nothing_where_the_seed_decides_and_plays_on_an_empty_store_each_time(
    store, pytestconfig
):
    small = ("--seeds", "0..2", "--store", store, *SMALL)
    server = ("--postgres", pytestconfig.getoption("--pgjobs-postgres")) if store == "both" else ()
    once, twice = (simulate("shop", *small, *server, *more) for more in ((), ("--twice",)))
    assert [0, 0] == [once.exit_code, twice.exit_code], twice.stderr
    assert once.stdout.splitlines()[-1] == twice.stdout.splitlines()[-1]


def test_a_mark_that_never_fired_exits_with_1():
    result = simulate("quick", "--seeds", "0..299", "-j", "0")
    assert 1 == result.exit_code
    assert (
        "marks that must fire in so large a campaign, and did not: never"
        in result.stdout.splitlines()
    )
    assert 0 == simulate("quick", "--seeds", "0..298", "-j", "0").exit_code


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--seeds", "7..5"], "found the seeds 7..5, which are none"),
        (["--seeds", "5.."], "--seeds 5.. never ends: give its last, as in 5..999, or --time"),
        (["--seed", "5", "--time", "1m"], "--seed 5 is one seed alone"),
        (["--seed", "5", "--seeds", "1..2"], "--seed 5 is one seed alone"),
        (["--seed", str(2**64)], f"found the seed {2**64}; expected a whole number from 0 to"),
        (["--time", "10"], "found --time '10'; expected a duration such as 250ms"),
        (["--time", "0s"], "found --time '0s'; expected a duration"),
        (["--faults", "crush"], "unknown fault 'crush': did you mean 'crash'?"),
        (["--hours", "nan"], "found nan hours; expected a number above 0"),
        (["--nodes", "0"], "found 0 nodes; expected a whole number from 1 to 100"),
        (["--dask", "tcp://127.0.0.1:1", "-j", "2"], "give --processes or --dask, not both"),
        (["--world", "tests.simulation.worlds:shpo"], "did you mean 'shop'?"),
        (["--world", "tests.simulation.worlds:storeless"], "expected a function of a module"),
        (["--postgres", "embedded"], "--postgres names a server, and --store memory plays on none"),
        (["--image", "postgres:16"], "--image names a server, and --store memory plays on none"),
        (["--store", "postgres", "--postgres", "embeded"], "did you mean 'embedded'?"),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_right(arguments, complaint):
    result = simulate("shop", *arguments)
    assert 2 == result.exit_code
    assert complaint in " ".join(result.stderr.split())
    assert any(line.startswith("Error: ") for line in result.stderr.splitlines())
    assert "" == result.stdout


def test_time_ends_a_campaign_between_seeds(here):
    command = begin(
        "--world", "tests.simulation.worlds:shop", "--jobs", "5", "--time", "500ms", folder=here
    )
    out, err = command.communicate(timeout=60)
    assert 0 == command.returncode, err
    found = re.match(r"(\d+) seeds \(0\.\.(\d+)\) on memory: no alarm", out)
    assert found is not None, out
    assert int(found[1]) == int(found[2]) + 1
    again = simulate("shop", "--seeds", f"0..{found[2]}", *SMALL)
    assert out.splitlines()[-1] == again.stdout.splitlines()[-1]


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_the_sum_of_what_was_played_and_no_process(here, number, status):
    command = begin(
        "--world", "tests.simulation.worlds:held_up", "--seeds", "0..9", "-j", "2", folder=here
    )
    until(lambda: len(held(here)) == 2, command)
    os.killpg(command.pid, number)  # as a terminal does: to every process
    out, err = command.communicate(timeout=60)
    assert status == command.returncode, err
    assert "" == err
    first, second, *_, last = out.splitlines()
    assert "interrupted; the digest is of the seeds below, all from the first on" == first
    assert second.startswith("2 seeds (0..1) on memory: no alarm")
    assert last == simulate("shop", "--seeds", "0..1", "-j", "0").stdout.splitlines()[-1]
    assert [] == [pid for pid in held(here) if alive(pid)]


def test_ctrl_c_before_anything_is_played_leaves_an_empty_sum(here):
    (here / "slow.py").write_text(
        "import signal\nfrom pathlib import Path\n"
        "Path('importing').touch()\nsignal.pause()\ndef play(): ...\n"
    )
    command = begin("--world", "slow:play", folder=here)
    until((here / "importing").exists, command)
    os.killpg(command.pid, signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert (0, "") == (command.returncode, err)
    first, second, last = out.splitlines()
    assert "interrupted before a seed was told" == first
    assert second.startswith("no seed on memory: no alarm, 0 events, ")
    assert f"digest: {Summary().digest}" == last


def test_a_second_ctrl_c_ends_at_once_and_is_no_alarm(here):
    (here / "slow.py").write_text(
        "import signal\nfrom pathlib import Path\n"
        "def play(seed, options, store):\n"
        "    Path('playing').touch()\n"
        "    try:\n"
        "        signal.pause()\n"
        "    finally:\n"
        "        Path('ending').touch()\n"
        "        signal.pause()\n"
    )
    command = begin("--world", "slow:play", "-j", "0", folder=here)
    for reached in ("playing", "ending"):
        until((here / reached).exists, command)
        os.killpg(command.pid, signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert (130, "", "interrupted\n") == (command.returncode, out, err)


def test_the_first_ctrl_c_is_noted_where_the_command_begins_and_ends():
    begins, ends = Interrupts(), Interrupts()
    with begins.heard():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            begins.break_off()
    with ends.heard():
        ends.break_off()
        ends.note()
        signal.raise_signal(signal.SIGINT)
        assert 1 == ends.came
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (False, True) == (begins.again, ends.again)
    assert signal.default_int_handler is signal.getsignal(signal.SIGINT)
    assert signal.SIG_DFL is signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_the_process_ignores_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupts().heard():
            signal.raise_signal(number)
            assert signal.SIG_IGN is signal.getsignal(number)
    finally:
        signal.signal(number, before)


def test_processes_end_with_a_command_that_was_killed(here):
    command = begin(
        "--world", "tests.simulation.worlds:held_up", "--seeds", "2..9", "-j", "2", folder=here
    )
    until(lambda: len(held(here)) == 2, command)
    command.kill()
    assert ("", "") == command.communicate(timeout=60)  # ends with the last process that holds it


def held(folder: Path) -> list[int]:
    """The processes that play a seed which never ends."""
    return [int(path.suffix[1:]) for path in folder.iterdir() if path.name[0] not in "01"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(reached: Callable[[], bool], command: subprocess.Popen[str]) -> None:
    """Wait for it, as long as the command runs; the test's time limit ends what never comes."""
    assert command.stdout is not None
    while not reached():
        ended, _, _ = select([command.stdout], [], [], 0.05)
        assert not ended, command.communicate()


@pytest.mark.postgres
def test_the_standard_world_has_one_digest_in_processes_and_on_both_stores(pytestconfig):
    server: str = pytestconfig.getoption("--pgjobs-postgres")
    small = ("simulate", "--seeds", "0..2", "--jobs", "10", "--hours", "0.1", "--nodes", "2")
    runs = [
        CliRunner().invoke(main, [*small, *more])
        for more in (["-j", "0"], ["--store", "both", "--postgres", server, "-j", "2"])
    ]
    assert [0, 0] == [run.exit_code for run in runs], [run.stderr for run in runs]
    alone, together = (run.stdout.splitlines()[-1] for run in runs)
    assert alone == together
    assert runs[1].stdout.startswith("3 seeds (0..2) on both stores: no alarm")

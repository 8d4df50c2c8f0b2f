"""A line of some length delays what is sent on it, and does nothing else to it."""

from benchmarks.real_life.delay import IN_FLIGHT_BYTES, Delay


def test_a_chunk_arrives_a_fixed_time_after_it_was_sent():
    line = Delay(0.25)
    line.put(b"a", now=10.0)
    assert b"" == line.take(10.2)
    assert 10.25 == line.next_due
    assert b"a" == line.take(10.25)
    assert line.next_due is None


def test_a_thousand_chunks_sent_at_once_arrive_at_once():
    """It is a distance: none of them waits for another to arrive."""
    line = Delay(0.25)
    for n in range(1_000):
        line.put(b"%03d" % n, now=10.0)
    assert b"".join(b"%03d" % n for n in range(1_000)) == line.take(10.25)


def test_chunks_arrive_in_order_each_in_its_own_time():
    line = Delay(0.25)
    for n in range(3):
        line.put(b"%d" % n, now=10.0 + n)
    arrivals = []
    while (at := line.next_due) is not None:
        arrivals.append((at, line.take(at)))
    assert [(10.25, b"0"), (11.25, b"1"), (12.25, b"2")] == arrivals


def test_a_line_is_full_until_something_arrives():
    line = Delay(0.25)
    line.put(bytes(IN_FLIGHT_BYTES - 1), now=0.0)
    states = [line.full]
    line.put(b"x", now=0.1)
    states.append(line.full)
    line.take(0.25)
    states.append(line.full)
    assert [False, True, False] == states
    assert b"x" == line.take(0.35)

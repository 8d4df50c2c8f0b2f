"""What a control promises: values set by hand are merged, and forgotten together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Controls, Effect, ResetControl, SetControl
from pgjobs.ports import Store
from pgjobs.rules.control import EVERY_QUEUE, Control
from pgjobs_testing.conformance.given import NOW, examples
from pgjobs_testing.properties.values import texts


def controls() -> st.SearchStrategy[Control]:
    truth = st.none() | st.booleans()
    number = st.none() | st.integers(1, 100_000)
    return st.builds(
        Control, paused=truth, paused_over=truth, concurrency=number, concurrency_over=number
    )


class Controlling:
    """Tests of ``SetControl``, ``ResetControl`` and ``Controls``."""

    def test_nothing_is_set_at_first(self, store: Store) -> None:
        assert store.run(Controls()) == {}

    def test_what_is_set_for_a_queue_is_merged_value_by_value(self, store: Store) -> None:
        for control in (
            Control(paused=True, paused_over=False),
            Control(concurrency=5, concurrency_over=10),
            Control(paused=False),
        ):
            assert store.run(SetControl("mail", control, NOW)) is None
        expected = Control(paused=False, concurrency=5, concurrency_over=10)
        assert {"mail": expected} == store.run(Controls())

    def test_a_pause_of_every_queue_replaces_that_of_each(self, store: Store) -> None:
        store.run(SetControl("a", Control(paused=True, concurrency=2), NOW))
        store.run(SetControl(EVERY_QUEUE, Control(concurrency=7), NOW))
        assert Control(paused=True, concurrency=2) == store.run(Controls())["a"]
        store.run(SetControl(EVERY_QUEUE, Control(paused=False), NOW))
        assert {
            EVERY_QUEUE: Control(paused=False, concurrency=7),
            "a": Control(concurrency=2),
        } == store.run(Controls())

    def test_a_reset_forgets_one_queue(self, store: Store) -> None:
        store.run(SetControl("a", Control(paused=True), NOW))
        store.run(SetControl("b", Control(paused=True), NOW))
        for _ in range(2):
            store.run(ResetControl("a", NOW))
            assert {"b": Control(paused=True)} == store.run(Controls())

    @examples(40)
    @given(
        steps=st.lists(
            st.tuples(st.sampled_from(["a", "b", EVERY_QUEUE]), st.none() | controls()), max_size=6
        )
    )
    def test_any_sequence_ends_as_in_memory(
        self, store: Store, steps: list[tuple[str, Control | None]]
    ) -> None:
        reference = MemoryStore(1)
        begin = [ResetControl(queue, NOW) for queue in store.run(Controls())]
        effects: list[Effect[None]] = [
            ResetControl(queue, NOW) if control is None else SetControl(queue, control, NOW)
            for queue, control in steps
        ]
        for effect in (*begin, *effects):
            store.run(effect)
            reference.run(effect)
        assert reference.run(Controls()) == store.run(Controls())
        assert list(reference.run(Controls())) == list(store.run(Controls()))

    @examples(20)
    @given(queue=texts().filter(bool))
    def test_a_queue_of_any_name_may_be_set(self, store: Store, queue: str) -> None:
        store.run(SetControl(queue, Control(concurrency=3), NOW))
        assert store.run(Controls())[queue].concurrency == 3
        store.run(ResetControl(queue, NOW))
        assert queue not in store.run(Controls())

"""Faults in who leads, what a leader may do, and which ticks it fires."""

from tests.ablations.ablation import Ablation, Edit

LEADING = (
    Ablation(
        "memory: a lease is renewed by its name alone",
        92,
        "Every node renews the lease of another, and takes itself for the leader.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    elif old.node == effect.node:\n",
                "    elif old.until > effect.now:\n",
            ),
        ),
        (
            "test_a_lease_is_held_to_its_end_and_not_at_it",
            "test_one_node_leads_and_the_others_wait",
        ),
        invariants=("one_holder",),
    ),
    Ablation(
        "SQL: a lease is renewed by its name alone",
        92,
        "Every node renews the lease of another, and takes itself for the leader.",
        (
            Edit(
                "adapters/postgres/nodes.py",
                "  WHERE held.node = excluded.node OR held.until <= {now}\n",
                "",
            ),
        ),
        ("test_a_lease_is_held_to_its_end_and_not_at_it",),
        invariants=("one_holder",),
    ),
    Ablation(
        "memory: a lease that changes hands keeps its token",
        94,
        "Effects of a leader's first term count in its second, after another led in between.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "new = Lease(effect.node, old.token + 1, until)",
                "new = Lease(effect.node, old.token, until)",
            ),
        ),
        (
            "test_a_lease_is_held_to_its_end_and_not_at_it",
            "test_a_renewal_keeps_the_token_as_long_as_nobody_else_led",
        ),
        invariants=("one_holder",),
    ),
    Ablation(
        "memory: a lease is held at its end",
        97,
        "At the instant at which it ends nobody may take it.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    elif old.until <= effect.now:\n",
                "    elif old.until < effect.now:\n",
            ),
        ),
        ("test_a_lease_is_held_to_its_end_and_not_at_it",),
        invariants=("one_holder",),
    ),
    Ablation(
        "memory: rescue asks for no fence",
        94,
        "A leader whose lease is another's goes on rescuing.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    _check(tables, effect.fence)\n    rows = tables.jobs\n    lost = ",
                "    rows = tables.jobs\n    lost = ",
            ),
        ),
        ("test_no_effect_of_a_leader_changes_anything_after_its_lease",),
        invariants=("fence_held",),
    ),
    Ablation(
        "SQL: pruning asks for no fence",
        94,
        "A leader whose lease is another's goes on pruning, and is told only afterwards.",
        (
            Edit(
                "adapters/postgres/sweeping.py",
                "{state}_at <= {until} AND EXISTS (SELECT FROM fence)\n",
                "{state}_at <= {until}\n",
            ),
        ),
        ("test_no_effect_of_a_leader_changes_anything_after_its_lease",),
        invariants=("fence_held",),
    ),
    Ablation(
        "a fence is not told from that of an earlier term",
        94,
        "The token of a lease is not compared.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "        and lease.token == fence.token\n",
                "",
            ),
            Edit(
                "adapters/postgres/nodes.py",
                'f"AND lease.token = {given.number(fence.token)} AND lease.until',
                'f"AND lease.until',
            ),
        ),
        ("test_no_effect_of_a_leader_changes_anything_after_its_lease",),
        invariants=("fence_held",),
    ),
    Ablation(
        "a leader whose renewal failed asks no more",
        94,
        "One failure of the store, and the node never leads again.",
        (
            Edit(
                "engine/leader.py",
                "self._due = None if self._closed else now\n",
                "self._due = None\n",
            ),
        ),
        ("test_a_leader_whose_renewals_fail_for_longer_than_its_lease_leads_again",),
        invariants=("one_leader",),
    ),
    Ablation(
        "memory: a tick is fired twice",
        82,
        "A tick that was fired and not heard of is fired again.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "if before is not None and before >= effect.at:",
                "if before is not None and before > effect.at:",
            ),
        ),
        ("test_a_tick_is_fired_once_whoever_leads",),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "SQL: a tick is fired twice",
        82,
        "A tick that was fired and not heard of is fired again.",
        (
            Edit(
                "adapters/postgres/ticking.py",
                "  WHERE tick.watermark < excluded.watermark\n",
                "  WHERE tick.watermark <= excluded.watermark\n",
            ),
        ),
        ("test_a_tick_is_fired_once_whoever_leads",),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "memory: a tick leaves no watermark",
        91,
        "The next leader fires again what its predecessor has fired.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    tables.ticks[effect.key] = effect.at\n",
                "",
            ),
        ),
        ("test_a_tick_is_fired_once_whoever_leads",),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "a clock that is set back fires again",
        82,
        "A tick before the watermark fires: only the very same one does not.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "if before is not None and before >= effect.at:",
                "if before is not None and before == effect.at:",
            ),
        ),
        (
            "test_a_tick_is_fired_once_whoever_leads",
            "test_a_clock_that_is_set_back_fires_nothing_again",
        ),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "a leader that is late drops its ticks",
        83,
        "A tick that is not fired at its very instant is left out.",
        (
            Edit(
                "engine/ticker.py",
                "at < earlier(now, entry.window):\n"
                "                self._plan(entry, before(now, entry.window))\n",
                "at < now:\n                self._plan(entry, now)\n",
            ),
        ),
        (
            "test_a_new_leader_makes_up_for_what_nobody_fired_and_no_further_back",
            "test_a_leader_that_dies_leaves_no_gap_longer_than_its_lease",
            "cron-leader-crash.yaml",
        ),
        invariants=("fires", "made_up_for", "once_a_tick", "skipped"),
    ),
    Ablation(
        "a new leader begins with now",
        83,
        "What fell due between two leaders is fired by neither.",
        (
            Edit(
                "engine/ticker.py",
                "self._plan(entry, max(watermark, before(now, entry.window)))",
                "self._plan(entry, max(watermark, now))",
            ),
        ),
        (
            "test_a_new_leader_makes_up_for_what_nobody_fired_and_no_further_back",
            "cron-leader-crash.yaml",
        ),
        invariants=("fires", "made_up_for", "once_a_tick", "skipped"),
    ),
    Ablation(
        "a new leader fires whatever is old",
        91,
        "Ticks of hours ago are made up for, beyond the lease.",
        (
            Edit(
                "engine/ticker.py",
                "return SPAN if self.catch_up is None else self.catch_up",
                "return timedelta(days=1)",
            ),
        ),
        ("test_a_new_leader_makes_up_for_what_nobody_fired_and_no_further_back",),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "a function is called when its node leads no more",
        None,
        "A leader that stood still between the claim of a tick and the call does it minutes later.",
        (
            Edit(
                "engine/leader_tasks.py",
                "if not self._ports.leader.leads(now):",
                "if False:",
            ),
        ),
        ("leader-task-after-its-lease.yaml",),
        invariants=("called",),
    ),
    Ablation(
        "a function is called though its tick was claimed before",
        None,
        "Where the answer to a claim is lost, or another leader was faster, it is called all the same.",
        (
            Edit(
                "engine/ticker.py",
                "        if answer is not None:\n            entry.fired(effect.at, answer, now)\n",
                "        entry.fired(effect.at, answer or [], now)\n",
            ),
        ),
        (),
        invariants=("called",),
    ),
    Ablation(
        "a function runs beside itself",
        None,
        "A tick that comes while the function still runs calls it again.",
        (
            Edit(
                "engine/leader_tasks.py",
                "        if key in self._running:\n",
                "        if key in self._long:\n",
            ),
        ),
        (
            "test_a_task_that_still_runs_is_skipped_and_a_long_one_is_logged",
            "test_a_leader_calls_its_functions_once_a_tick_and_skips_one_that_still_runs",
        ),
        invariants=("called",),
    ),
    Ablation(
        "an entry begins in the past",
        91,
        "An entry that is seen for the first time fires ticks from before it was there.",
        (
            Edit(
                "engine/ticker.py",
                "(k, EPOCH if e.crontab.reboot else now)",
                "(k, EPOCH)",
            ),
        ),
        ("test_an_entry_fires_from_where_it_is_first_seen_exclusive",),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "@reboot is lost where another leads at boot",
        89,
        "A node that comes to lead a while after its start does not fire it.",
        (
            Edit(
                "engine/ticker.py",
                "now - started <= 2 * SPAN",
                "now <= started",
            ),
        ),
        ("test_reboot_is_not_lost_when_the_dead_leader_still_has_the_lease_at_boot",),
        invariants=("reboots",),
    ),
    Ablation(
        "@reboot fires for each new leader",
        None,
        "Nodes that start together fire it once each, as one after the other comes to lead.",
        (
            Edit(
                "engine/ticker.py",
                "if started - watermark > SPAN and now",
                "if started > watermark and now",
            ),
        ),
        ("cron-reboot.yaml",),
        invariants=("reboots",),
    ),
    Ablation(
        "an hour that comes twice fires twice",
        85,
        "01:30 in New York fires twice on 2025-11-02.",
        (
            Edit(
                "rules/crontab.py",
                "        if shown and crontab.real_hours:\n",
                "        if shown:\n",
            ),
        ),
        (
            "test_around_any_change_of_any_clock_the_ticks_are_those_of_the_wall",
            "test_0130_in_new_york_runs_once_in_the_night_in_which_it_comes_twice",
            "cron-new-york-autumn.yaml",
            "test_five_years_are_as_a_clock_on_the_wall_shows_them_minute_by_minute",
        ),
        invariants=("once_a_tick",),
    ),
    Ablation(
        "an hour that does not come is left out",
        85,
        "02:30 in New York does not fire on 2025-03-09.",
        (
            Edit(
                "rules/crontab.py",
                "        if shown or not crontab.real_hours:\n",
                "        if shown:\n",
            ),
        ),
        (
            "test_around_any_change_of_any_clock_the_ticks_are_those_of_the_wall",
            "test_0230_in_new_york_runs_at_three_in_the_night_in_which_it_does_not_come",
            "cron-new-york-spring.yaml",
            "test_five_years_are_as_a_clock_on_the_wall_shows_them_minute_by_minute",
        ),
        invariants=("fires", "once_a_tick"),
    ),
    Ablation(
        "either day is never enough",
        None,
        "`0 0 13 * 5` fires on Fridays the 13th alone, and not on both.",
        (
            Edit(
                "rules/crontab.py",
                'either_day = not (words[2].startswith("*") or words[4].startswith("*"))',
                "either_day = False",
            ),
        ),
        (
            "test_an_expression_is_read_as_the_model_reads_it",
            "test_either_day_is_enough_when_neither_begins_with_a_star",
            "test_five_years_are_as_a_clock_on_the_wall_shows_them_minute_by_minute",
        ),
        invariants=("fires",),
    ),
    Ablation(
        "30 February is waited for",
        86,
        "An expression that never comes is taken, and its next tick sought through all the calendar.",
        (
            Edit(
                "rules/crontab.py",
                "    if either_day or min(days) <= max(",
                "    if text or min(days) <= max(",
            ),
        ),
        (
            "test_an_expression_is_read_as_the_model_reads_it",
            "test_a_refusal_names_the_field_the_value_and_what_is_accepted",
        ),
    ),
    Ablation(
        "memory: age counts from the due instant",
        103,
        "A job that waited for long is pruned as soon as it is over.",
        (
            Edit(
                "adapters/memory/rows.py",
                "None if stamp is None else stamp(job)",
                "None if stamp is None else job.scheduled_at",
            ),
        ),
        ("test_age_counts_from_the_final_state_of_each_kind", "pruner-by-final-state.yaml"),
        invariants=("aged",),
    ),
    Ablation(
        "SQL: age counts from the due instant",
        103,
        "A job that waited for long is pruned as soon as it is over.",
        (
            Edit(
                "adapters/postgres/sweeping.py",
                "  WHERE state = '{state}' AND {state}_at <= {until} AND EXISTS",
                "  WHERE state = '{state}' AND scheduled_at <= {until} AND EXISTS",
            ),
        ),
        ("test_age_counts_from_the_final_state_of_each_kind",),
        invariants=("aged",),
    ),
    Ablation(
        "memory: jobs that are not over are pruned",
        103,
        "Whatever is old enough goes, whether it has run or not.",
        (
            Edit(
                "adapters/memory/rows.py",
                "None if stamp is None else stamp(job)",
                "job.inserted_at if stamp is None else stamp(job)",
            ),
        ),
        ("test_what_is_not_over_is_never_pruned", "pruner-by-final-state.yaml"),
        invariants=("aged", "lawful"),
    ),
)

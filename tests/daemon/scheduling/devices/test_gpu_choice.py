"""bertd.daemon.scheduling.devices.gpu_choice and the packing by memory: what is never done, and what is preferred."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from bertd.daemon.scheduling.devices.device_allocation import Allocation, Inventory, Wait, allocate
from bertd.daemon.scheduling.devices.gpu_choice import Cards, choose_gpus
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState
from bertd.run.machine.gpu_topology import Closeness, Links, closeness_of

GIB = 1 << 30
GPUS = tuple(f"GPU-{index}" for index in range(8))
SIZES = (12 * GIB, 24 * GIB, 80 * GIB)


def job(id: int, number: int = 1, *, kind: JobKind = JobKind.PRETRAIN, memory_bytes: int | None = None) -> Job:
    return Job(
        id=id,
        kind=kind,
        name="x",
        state=JobState.QUEUED,
        reason="",
        priority=0,
        run_id="",
        folder="",
        device_kind="gpu",
        num_devices=number,
        owner_uid=0,
        created_t=0,
        memory_bytes=memory_bytes,
    )


def box(sizes: dict[str, int], links: Links | None = None, *, parts: int = 1) -> Inventory:
    return Inventory(
        cpu_slots=4,
        gpus=tuple(sizes),
        no_gpu_reason="",
        finetunings_per_gpu=dict.fromkeys(sizes, parts),
        cards=Cards(memory_bytes=sizes, links=links or {}),
    )


def hierarchy(labels: list[tuple[int, int, int]]) -> Links:
    """Links of a machine: a pair is as close as the smallest group that has both: link, switch, socket."""
    links = {}
    for (a, of_a), (b, of_b) in combinations(zip(GPUS, labels, strict=False), 2):
        if of_a == of_b:
            level = Closeness.NVLINK
        elif of_a[:2] == of_b[:2]:
            level = Closeness.SWITCH
        else:
            level = Closeness.NODE if of_a[0] == of_b[0] else Closeness.SYSTEM
        links[frozenset((a, b))] = level
    return links


LABELS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)), min_size=8, max_size=8)
MACHINES = st.lists(st.sampled_from(SIZES), min_size=8, max_size=8)
NEEDS = st.one_of(st.none(), st.sampled_from([GIB, 12 * GIB, 20 * GIB, 24 * GIB, 80 * GIB, 81 * GIB]))


def worst(chosen: list[str] | tuple[str, ...], links: Links) -> int:
    return min((closeness_of(a, b, links) for a, b in combinations(chosen, 2)), default=Closeness.NVLINK)


@given(LABELS, st.integers(2, 8))
def test_no_other_set_has_a_closer_worst_pair(labels: list[tuple[int, int, int]], number: int) -> None:
    links = hierarchy(labels)
    chosen = choose_gpus(GPUS, number, cards=Cards(links=links))
    assert chosen is not None and len(set(chosen)) == number
    assert worst(chosen, links) == max(worst(each, links) for each in combinations(GPUS, number))


@given(MACHINES, LABELS, st.integers(1, 8), NEEDS, NEEDS, st.sets(st.sampled_from(GPUS)))
def test_each_card_has_what_is_needed_and_the_order_of_the_facts_decides_nothing(
    sizes: list[int],
    labels: list[tuple[int, int, int]],
    number: int,
    need: int | None,
    wish: int | None,
    occupied: set[str],
) -> None:
    memory, links = dict(zip(GPUS, sizes, strict=True)), hierarchy(labels)

    def choose(cards: Cards, used: list[str]) -> list[str] | None:
        return choose_gpus(GPUS, number, cards=cards, need_bytes=need, wish_bytes=wish, occupied=used)

    chosen = choose(Cards(memory, links), sorted(occupied))
    fitting = [gpu for gpu in GPUS if need is None or memory[gpu] >= need]
    assert (chosen is None) == (len(fitting) < number)
    shuffled_memory, shuffled_links = list(memory.items()), list(links.items())
    random.Random(1).shuffle(shuffled_memory)
    random.Random(2).shuffle(shuffled_links)
    assert choose(Cards(dict(shuffled_memory), dict(shuffled_links)), sorted(occupied, reverse=True)) == chosen
    if chosen is not None:
        assert set(chosen) <= set(fitting) and len(set(chosen)) == number


@given(
    MACHINES,
    st.lists(
        st.tuples(
            st.sampled_from([JobKind.PRETRAIN, JobKind.FINETUNE, JobKind.COMMAND, JobKind.EVALUATE]),
            st.integers(1, 3),
            NEEDS,
        ),
        max_size=14,
    ),
    st.integers(1, 4),
    st.booleans(),
)
def test_no_card_is_given_beyond_its_memory_and_none_twice_to_those_that_need_it_whole(
    sizes: list[int], asked: list[tuple[JobKind, int, int | None]], parts: int, may_overtake: bool
) -> None:
    memory = dict(zip(GPUS, sizes, strict=True))
    waiting = []
    for id, (kind, number, need) in enumerate(asked, 1):
        shares = kind is JobKind.FINETUNE or (kind is not JobKind.PRETRAIN and need is not None)
        waiting.append(
            job(id, 1 if shares else number, kind=kind, memory_bytes=None if kind is JobKind.FINETUNE else need)
        )
    decisions = allocate(waiting, Leases(), box(memory, parts=parts), may_overtake=lambda *_: may_overtake)
    rows = [row for each in decisions if isinstance(each, Allocation) for row in each.leases()]
    whole = [row.device for row in rows if row.share == 1]
    assert len(set(whole)) == len(whole)
    for gpu in memory:
        of_gpu = [row for row in rows if row.device == gpu]
        assert sum((row.share for row in of_gpu), Fraction()) <= 1
        assert sum(row.memory_bytes or 0 for row in of_gpu) <= memory[gpu]
        assert gpu not in whole or len(of_gpu) == 1
    by_id = {each.id: each for each in waiting}
    for row in rows:
        asker = by_id[row.job_id]
        if asker.kind is JobKind.PRETRAIN and asker.memory_bytes is not None:
            assert memory[row.device] >= asker.memory_bytes
        if asker.kind in (JobKind.COMMAND, JobKind.EVALUATE) and asker.memory_bytes is not None:
            assert row.memory_bytes == asker.memory_bytes and row.of_bytes == memory[row.device]


def test_the_smallest_card_that_fits_is_taken() -> None:
    sizes = dict(zip(GPUS[:3], (80 * GIB, 12 * GIB, 24 * GIB), strict=True))
    for need, expected in ((20 * GIB, "GPU-2"), (12 * GIB, "GPU-1"), (25 * GIB, "GPU-0")):
        assert choose_gpus(GPUS[:3], 1, cards=Cards(sizes), need_bytes=need) == [expected]
        assert choose_gpus(GPUS[:3], 1, cards=Cards(sizes), wish_bytes=need) == [expected]
    assert choose_gpus(GPUS[:3], 1, cards=Cards(sizes), need_bytes=90 * GIB) is None
    # What was measured is wished for; a larger card than there is must not keep a run from going on.
    assert choose_gpus(GPUS[:3], 1, cards=Cards(sizes), wish_bytes=90 * GIB) == ["GPU-0"]


def test_a_run_gets_cards_of_one_size_where_there_are_enough() -> None:
    sizes = dict(zip(GPUS[:5], (80 * GIB, 24 * GIB, 24 * GIB, 80 * GIB, 24 * GIB), strict=True))
    assert choose_gpus(GPUS[:5], 2, cards=Cards(sizes)) == ["GPU-0", "GPU-3"]
    assert choose_gpus(GPUS[:5], 3, cards=Cards(sizes)) == ["GPU-1", "GPU-2", "GPU-4"]
    mixed = choose_gpus(GPUS[:5], 4, cards=Cards(sizes))
    assert mixed is not None and len(mixed) == 4


def test_a_pair_gets_the_cards_that_are_linked_and_a_single_job_leaves_them_together() -> None:
    links = {frozenset(("GPU-1", "GPU-3")): Closeness.NVLINK, frozenset(("GPU-0", "GPU-1")): Closeness.SWITCH}
    cards = Cards(links=links)
    assert choose_gpus(GPUS[:4], 2, cards=cards) == ["GPU-1", "GPU-3"]
    assert choose_gpus(GPUS[:4], 1, cards=cards) == ["GPU-2"]
    # Used by somebody else, the linked ones are the last resort.
    assert choose_gpus(GPUS[:4], 2, cards=cards, occupied=["GPU-3"]) == ["GPU-0", "GPU-1"]


def test_small_programs_share_a_card_and_leave_the_other_whole_while_a_run_waits() -> None:
    sizes = dict.fromkeys(GPUS[:2], 24 * GIB)
    small = [job(id, kind=JobKind.COMMAND, memory_bytes=10 * GIB) for id in (1, 2, 3)]
    first, second, third = allocate(small, Leases(), box(sizes))
    assert [isinstance(each, Allocation) for each in (first, second, third)] == [True] * 3
    both = [job(1, kind=JobKind.COMMAND, memory_bytes=10 * GIB), job(2, kind=JobKind.EVALUATE, memory_bytes=8 * GIB)]
    *shared, whole = allocate([*both, job(3)], Leases(), box(sizes))
    assert all(isinstance(each, Allocation) and each.devices == {"GPU-0": 1} for each in shared)
    assert isinstance(whole, Allocation) and whole.devices == {"GPU-1": 1}


def test_a_program_and_finetunings_share_a_card_by_what_each_has_of_it() -> None:
    sizes = {"GPU-0": 40 * GIB}
    leases = Leases((Lease(1, "GPU-0", 1, parts=2),))
    fits, waits = allocate(
        [job(2, kind=JobKind.COMMAND, memory_bytes=20 * GIB), job(3, kind=JobKind.COMMAND, memory_bytes=GIB)],
        leases,
        box(sizes, parts=2),
    )
    assert isinstance(fits, Allocation) and (fits.memory_bytes, fits.of_bytes) == (20 * GIB, 40 * GIB)
    reason = "waits for 1.0 GiB of a GPU's memory; jobs 1, 2 have the rest: pause or stop one, or wait"
    assert waits == Wait(job(3, kind=JobKind.COMMAND, memory_bytes=GIB), reason)


def test_what_no_card_can_hold_says_so_and_holds_nobody_up() -> None:
    sizes = dict.fromkeys(GPUS[:2], 24 * GIB)
    never, starts = allocate([job(1, memory_bytes=80 * GIB), job(2)], Leases(), box(sizes))
    assert isinstance(never, Wait) and never.reason.startswith("asks for 1 gpu of 80.0 GiB, this machine has 0")
    assert isinstance(starts, Allocation)

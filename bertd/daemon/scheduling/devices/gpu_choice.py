"""Choose the GPUs of a job that needs whole ones: by who else uses them, by memory, by how they are linked. Pure.

In this order: GPUs that nobody else uses; the smallest cards that fit, where the need is known; cards of one size,
since the smallest of a mixed set would decide for all; GPUs that are close to each other; and, of equal sets, the one
that parts the others least, so that the next job finds a close set, too.

The set is grown from each GPU in turn by the one closest to it. Where closeness is a hierarchy (link, switch, CPU
socket), as in machines, no other set has a better worst pair.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bertd.run.machine.gpu_topology import Closeness, Links, closeness_of


@dataclass(frozen=True)
class Cards:
    """What is known of the GPUs."""

    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    """In all, by UUID; a GPU that is not listed has an unknown memory."""
    links: Links = field(default_factory=dict)

    def fits(self, gpu: str, need_bytes: int | None) -> bool:
        """Whether a GPU has the memory; one of unknown memory only where nothing is needed."""
        return need_bytes is None or self.memory_bytes.get(gpu, 0) >= need_bytes

    @property
    def is_mixed(self) -> bool:
        """Whether they have different memories."""
        return len(set(self.memory_bytes.values())) > 1


def choose_gpus(
    free: Sequence[str],
    number: int,
    *,
    cards: Cards,
    need_bytes: int | None = None,
    wish_bytes: int | None = None,
    occupied: Collection[str] = (),
) -> list[str] | None:
    """The GPUs for a job, in the order of `free`; None if too few fit.

    Args:
        free: GPUs that no job has, in their order.
        need_bytes: memory that each must have.
        wish_bytes: memory that each should have, as was measured; only of what is needed if there are too few.
        occupied: GPUs that processes use which are not of this daemon: chosen last.
    """
    fitting = [gpu for gpu in free if cards.fits(gpu, need_bytes)]
    if len(fitting) < number:
        return None
    wanted = max((size for size in (need_bytes, wish_bytes) if size is not None), default=None)
    roomy = [gpu for gpu in fitting if cards.fits(gpu, wanted)]
    is_roomy = len(roomy) >= number
    candidates = roomy if is_roomy else fitting
    unused = [gpu for gpu in candidates if gpu not in occupied]
    if len(unused) < number:
        used = [gpu for gpu in candidates if gpu in occupied]
        # Those that others use last, so that the first rank has one that is free.
        return [*unused, *used][:number]
    sizes = list(dict.fromkeys(cards.memory_bytes.get(gpu, 0) for gpu in unused))
    if wanted is not None:
        # The smallest that fit; where none has what was measured, the largest come closest to it.
        sizes.sort(reverse=not is_roomy)
    pool = _pool_of_one_size(unused, number, sizes=sizes, cards=cards)
    return sorted(_closest(pool, number, cards.links), key=free.index)


def _pool_of_one_size(gpus: Sequence[str], number: int, *, sizes: Sequence[int], cards: Cards) -> Sequence[str]:
    """The cards to choose from: of the first size that has enough, else all."""
    for size in sizes:
        pool = [gpu for gpu in gpus if cards.memory_bytes.get(gpu, 0) == size]
        if len(pool) >= number:
            return pool
    return gpus


def _closest(pool: Sequence[str], number: int, links: Links) -> list[str]:
    if len(pool) == number:
        return list(pool)
    grown = [_grow(seed, pool, number, links) for seed in pool]
    # The first of equal ones.
    return max(grown, key=lambda chosen: _score(chosen, pool, links))


def _grow(seed: str, pool: Sequence[str], number: int, links: Links) -> list[str]:
    chosen = [seed]
    rest = [gpu for gpu in pool if gpu != seed]
    while len(chosen) < number:
        best = max(rest, key=lambda gpu: _closeness_to(gpu, chosen, links))
        chosen.append(best)
        rest.remove(best)
    return chosen


def _closeness_to(gpu: str, others: Sequence[str], links: Links) -> tuple[int, int]:
    """To the farthest of others, and to all."""
    levels = [closeness_of(gpu, other, links) for other in others]
    return min(levels), sum(levels)


def _score(chosen: Sequence[str], pool: Sequence[str], links: Links) -> tuple[int, int, int]:
    """How good a set is: its worst pair, all its pairs, and how little the rest is parted from it."""
    pairs = [closeness_of(a, b, links) for i, a in enumerate(chosen) for b in chosen[:i]]
    parted = sum(closeness_of(a, b, links) for a in chosen for b in pool if b not in chosen)
    return min(pairs, default=Closeness.NVLINK), sum(pairs), -parted

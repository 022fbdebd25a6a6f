"""Speed and scores of the two sides, which take turns, and their tables. Formatting is pure."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bertd.bench.glue.inputs import BENCH_TASKS, make_spec
from bertd.bench.glue.side_protocol import Answer, Order, Padding
from bertd.bench.glue.sides import OURS, STOCK, Side

BERTD = "bertd"
ARMS: dict[str, tuple[str, Padding]] = {
    BERTD: (OURS, Padding.LONGEST),
    **{f"Trainer, {padding}": (STOCK, padding) for padding in (Padding.LONGEST, Padding.GROUPED)},
}
"""By the name in the table: the side, and how it pads."""
QUALITY_ARMS = (BERTD, f"Trainer, {Padding.LONGEST}")
_FIRST_SEED = 42

Turns = dict[str, dict[str, list[Answer]]]
"""By task and arm, one answer for each turn."""
Scores = dict[str, dict[str, list[float]]]
"""By task and arm, one score for each seed."""


def measure_speed(sides: Mapping[str, Side], *, encoder: Path, data: Path, num_turns: int, max_rows: int) -> Turns:
    """Train an epoch of each task by each arm, in turns after one that does not count."""
    turns: Turns = {task: {arm: [] for arm in ARMS} for task in BENCH_TASKS}
    for turn in range(num_turns + 1):
        for task in BENCH_TASKS:
            for arm, (module, padding) in ARMS.items():
                spec = make_spec(task, encoder=encoder, data=data, seed=turn, epochs=1)
                rows = max_rows if turn else min(max_rows, 64)
                answer = sides[module].carry_out(Order(spec=spec, max_rows=rows, padding=padding))
                if turn:
                    turns[task][arm].append(answer)
        print(f"speed: turn {turn} of {num_turns}", file=sys.stderr, flush=True)
    return turns


def measure_quality(
    sides: Mapping[str, Side], *, encoder: Path, data: Path, num_seeds: int, tasks: Sequence[str], epochs: int
) -> Scores:
    """Finetune each task with each seed by bertd and by the Trainer as it pads by default."""
    scores: Scores = {task: {arm: [] for arm in QUALITY_ARMS} for task in tasks}
    for task in tasks:
        for seed in range(_FIRST_SEED, _FIRST_SEED + num_seeds):
            for arm in QUALITY_ARMS:
                spec = make_spec(task, encoder=encoder, data=data, seed=seed, epochs=epochs)
                answer = sides[ARMS[arm][0]].carry_out(Order(spec=spec, is_evaluated=True))
                assert answer.score is not None
                scores[task][arm].append(answer.score)
            print(f"quality: {task}, seed {seed}", file=sys.stderr, flush=True)
    return scores


def format_speed(turns: Turns) -> str:
    """Examples in a second of processor time, and the ratios of bertd to each arm by wall and by processor time."""
    lines = [f"{'examples/s of a core':34}{''.join(f'{task:>18}' for task in turns)}"]
    for arm in ARMS:
        cells = [_spread([each.num_examples / each.cpu_s for each in turns[task][arm]]) for task in turns]
        lines.append(f"{arm:34}{''.join(f'{cell:>18}' for cell in cells)}")
    for what in ("processor time", "wall time"):
        lines.append(f"bertd times as fast, by {what}")
        for arm in ARMS:
            if arm != BERTD:
                ratios = {task: _ratios(turns[task], arm, what=what) for task in turns}
                cells = [_spread(ratios[task], digits=2) for task in turns]
                mean = statistics.geometric_mean(statistics.median(ratios[task]) for task in turns)
                lines.append(f"  than {arm:27}{''.join(f'{cell:>18}' for cell in cells)}   mean {mean:.2f}")
    return "\n".join(lines)


def _ratios(by_arm: Mapping[str, list[Answer]], arm: str, *, what: str) -> list[float]:
    """Of each turn, in which both ran one after the other."""

    def seconds(answer: Answer) -> float:
        return answer.cpu_s if what == "processor time" else answer.wall_s

    return [seconds(other) / seconds(ours) for ours, other in zip(by_arm[BERTD], by_arm[arm], strict=True)]


def format_quality(scores: Scores) -> str:
    """Median and range over the seeds, and whether the ranges overlap."""
    lines = [f"{'':8}{''.join(f'{arm:>34}' for arm in QUALITY_ARMS)}   difference of means"]
    for task, by_arm in scores.items():
        ours, stock = (by_arm[arm] for arm in QUALITY_ARMS)
        spread = max(_deviation(ours), _deviation(stock))
        difference = statistics.fmean(ours) - statistics.fmean(stock)
        within = "" if len(ours) < 2 else "  within" if abs(difference) <= 2 * spread else "  more than"
        words = f"{difference:+.3f}{within} twice the spread {spread:.3f}" if within else f"{difference:+.3f}"
        cells = [_spread(by_arm[arm], digits=3) for arm in QUALITY_ARMS]
        lines.append(f"{task:8}{''.join(f'{cell:>34}' for cell in cells)}   {words}")
    return "\n".join(lines)


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _spread(values: Iterable[float], *, digits: int = 0) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.{digits}f} ({ordered[0]:.{digits}f}-{ordered[-1]:.{digits}f})"

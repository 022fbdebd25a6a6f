"""Speed and scores of the two sides, which take turns, and their tables. Formatting is pure."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
_ROUNDING = 1e-9
"""Of a mean: equal scores may have means that are not."""

Turns = dict[str, dict[str, list[Answer]]]
"""By task and arm, one answer for each turn."""
Finetunings = dict[str, dict[str, list[Answer]]]
"""By task and arm, one answer for each seed."""


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
) -> Finetunings:
    """Finetune each task with each seed by bertd and, at the same time, by the Trainer as it pads by default."""

    def finetune(arm: str) -> dict[str, list[Answer]]:
        by_task: dict[str, list[Answer]] = {task: [] for task in tasks}
        for task in tasks:
            for seed in range(_FIRST_SEED, _FIRST_SEED + num_seeds):
                spec = make_spec(task, encoder=encoder, data=data, seed=seed, epochs=epochs)
                answer = sides[ARMS[arm][0]].carry_out(Order(spec=spec, is_evaluated=True))
                by_task[task].append(answer)
                figures = f"{answer.score:.4f}, loss {answer.loss:.4f}"
                print(f"quality: {arm}: {task}, seed {seed}: {figures}", file=sys.stderr, flush=True)
        return by_task

    with ThreadPoolExecutor(len(QUALITY_ARMS)) as pool:
        by_arm = dict(zip(QUALITY_ARMS, pool.map(finetune, QUALITY_ARMS), strict=True))
    return {task: {arm: by_arm[arm][task] for arm in QUALITY_ARMS} for task in tasks}


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


def format_quality(finetunings: Finetunings) -> str:
    """Median and range over the seeds of scores and training losses, and how far the sides are from each other."""
    lines = [f"{'':16}{''.join(f'{arm:>32}' for arm in QUALITY_ARMS)}   difference of means"]
    for task, by_arm in finetunings.items():
        values: dict[str, list[list[float]]] = {
            "score": [[answer.score or 0.0 for answer in by_arm[arm]] for arm in QUALITY_ARMS],
            "loss": [[answer.loss or 0.0 for answer in by_arm[arm]] for arm in QUALITY_ARMS],
        }
        for what, by_side in values.items():
            cells = "".join(f"{_spread(side, digits=3):>32}" for side in by_side)
            lines.append(f"{task:8}{what:8}{cells}   {_compare(*by_side)}")
    return "\n".join(lines)


def _compare(ours: Sequence[float], stock: Sequence[float]) -> str:
    """The difference, beside the spread of the seeds where there are several."""
    difference = statistics.fmean(ours) - statistics.fmean(stock)
    if len(ours) < 2:
        return f"{difference:+.3f}"
    spread = max(_deviation(ours), _deviation(stock))
    verdict = "within" if abs(difference) <= 2 * spread + _ROUNDING else "more than"
    return f"{difference:+.4f}, {verdict} twice the spread {spread:.4f}"


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _spread(values: Iterable[float], *, digits: int = 0) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.{digits}f} ({ordered[0]:.{digits}f}-{ordered[-1]:.{digits}f})"

"""Invented metrics with the shape of a real run's, as pure functions of the budget's progress."""

from __future__ import annotations

import math
import zlib

from bertd.api.models import SeriesView

PEAK_LR = 2e-3
WARMUP = 0.06
CRASH_PROGRESS = 0.183
"""Progress at which the simulated run crashed once, so that its curves have a gap."""
PAUSE_PROGRESS = 0.34
"""Progress at which it was paused before the simulation began."""
VALIDATE_EVERY = 1 / 48
SEQUENCES_PER_S = 1091.0
SEQUENCE_LENGTH = 128
SPIKE_PROGRESS = 0.294


def noise(*key: object) -> float:
    """Deterministic noise in -1..1."""
    return zlib.crc32(repr(key).encode()) / 0x7FFFFFFF - 1


def smooth_loss(progress: float) -> float:
    """The loss without noise."""
    decay = 0.85 * max(0.0, 1 - progress)
    return 1.62 + 5.6 * math.exp(-progress / 0.012) + 2.2 * math.exp(-progress / 0.07) + decay


def train_loss(progress: float) -> float:
    """Training loss, with noise and one spike."""
    spike = 0.9 * math.exp(-(((progress - SPIKE_PROGRESS) / 0.0012) ** 2))
    return smooth_loss(progress) + spike + 0.07 * noise("loss", round(progress * 86400))


def validation_loss(progress: float) -> float:
    """Validation loss, with less noise."""
    return smooth_loss(progress) + 0.06 + 0.008 * noise("validation", round(progress * 1000))


def learning_rate(progress: float) -> float:
    """Linear warm-up, then linear decay to 0."""
    return PEAK_LR * (progress / WARMUP if progress < WARMUP else (1 - progress) / (1 - WARMUP))


def gradient_norm(progress: float) -> float:
    """Falls in early training, with heavy-tailed noise."""
    key = round(progress * 86400)
    return (0.45 + 2.5 * math.exp(-progress / 0.02)) * math.exp(0.25 * noise("norm", key)) + 0.02 * progress


def sequences_per_s(progress: float) -> float:
    """Constant with noise, and slower around 36 % of the budget."""
    slower = 60 * math.exp(-(((progress - 0.36) / 0.02) ** 2))
    return SEQUENCES_PER_S - slower + 9 * noise("speed", round(progress * 86400))


def series(run_id: str, *, progress: float, columns: int) -> SeriesView:
    """The series a daemon would return: the smallest and the largest value in each column."""
    found: dict[str, list[tuple[float, float]]] = {
        "loss": [],
        "validation": [],
        "lr": [],
        "grad_norm": [],
        "sequences_per_s": [],
    }
    for index in range(columns):
        start = progress * index / columns
        middle = progress * (index + 0.5) / columns
        if start <= CRASH_PROGRESS < progress * (index + 1) / columns:
            for points in found.values():
                points.append((CRASH_PROGRESS, math.nan))
            continue
        for name, measure in (("loss", train_loss), ("grad_norm", gradient_norm), ("sequences_per_s", sequences_per_s)):
            samples = [measure(start + (middle - start) * part / 3) for part in range(6)]
            found[name] += [(start, min(samples)), (middle, max(samples))]
        found["lr"].append((middle, learning_rate(middle)))
    found["validation"] = [
        (at * VALIDATE_EVERY, validation_loss(at * VALIDATE_EVERY))
        for at in range(1, int(progress / VALIDATE_EVERY) + 1)
    ]
    return SeriesView(run_id=run_id, x="progress", columns=found)

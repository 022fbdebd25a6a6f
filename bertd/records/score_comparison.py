"""Two exports' scores compared: what the command line asks the program bertd.glue.comparison, and its answer."""

from __future__ import annotations

from pydantic import Field

from bertd.records.record import Record


class ScoredTrial(Record):
    """One finetuning."""

    seed: int
    score: float
    """Of the metric that is compared, from its journal."""
    predictions: str
    """Absolute path of its dev-predictions.npz."""


class TaskTrials(Record):
    """The trials of two exports on one development set: those of each export's best setting."""

    task: str
    """As in the table: mnli-mm is MNLI's second set."""
    metric: str
    """With the set's suffix."""
    is_in_mean: bool
    """Whether the task is one of those whose mean is compared."""
    first: list[ScoredTrial] = Field(min_length=1)
    second: list[ScoredTrial] = Field(min_length=1)


class NotCompared(Record):
    """A task without a comparison."""

    task: str
    reason: str


class ComparisonRequest(Record):
    """What to compare."""

    first: str
    """The export, as its scores name it."""
    second: str
    tasks: list[TaskTrials]
    not_compared: list[NotCompared]
    """Tasks that only one of the exports has, or whose trials kept no predictions."""


MIN_SEEDS = 3
"""With two seeds of either export the interval misses much of what other seeds would give, and with one all of it: of
two equal encoders whose scores vary by seed, intervals of one seed covered 0 in 16 to 96 of 100 simulated comparisons,
those of three in 93 or more."""


class ScoreDifference(Record):
    """The second export's score minus the first's."""

    metric: str
    first: float
    """The median over its seeds."""
    second: float
    difference: float
    low: float
    """Lower end of the confidence interval."""
    high: float
    num_first_seeds: int
    """Of the mean: the fewest of any task."""
    num_second_seeds: int

    @property
    def covers_zero(self) -> bool:
        """Whether the interval covers 0."""
        return self.low <= 0 <= self.high

    @property
    def has_enough_seeds(self) -> bool:
        """Whether the interval can show a difference."""
        return min(self.num_first_seeds, self.num_second_seeds) >= MIN_SEEDS


class TaskDifference(ScoreDifference):
    """On one task."""

    task: str
    num_examples: int
    """Of the development set."""


class MeanDifference(ScoreDifference):
    """Of the mean over tasks."""

    tasks: list[str]


class ScoreComparison(Record):
    """What `bertd scores A B --compare --json` prints."""

    first: str
    second: str
    confidence: float
    """Of each interval, 0..1."""
    num_resamples: int
    tasks: list[TaskDifference]
    mean: MeanDifference | None
    """None with fewer than two tasks of GLUE's mean."""
    not_compared: list[NotCompared]

"""The exit statuses of `bertd` and their meanings. Errors carry their status themselves: see bertd.errors."""

from __future__ import annotations

MEANINGS: dict[int, str] = {
    0: "done",
    1: "any other error; doctor: there is a fault",
    2: "the command, the recipe or the budget is wrong",
    4: "no such job, run or hook",
    5: "the job's state does not allow it",
    10: "wait, train: the job failed",
    11: "wait, train: the job was cancelled",
    12: "wait, train: the job was lost",
    13: "train: paused; the same command continues it",
    65: "a corpus, vocabulary, data set, run folder, checkpoint or backup is missing or damaged",
    69: "no daemon answers, or the devices or the package asked for are not there",
    70: "internal error",
    71: "the memory of a GPU, or of the machine, is too small",
    73: "what was to be written exists already",
    74: "the disk refused a write",
    75: "another daemon owns the state folder or the socket",
    76: "the loss is not finite, or wrong for a contender of the bench",
    78: "the daemon cannot start",
    124: "wait: it took longer than --timeout",
    130: "interrupted with Ctrl-C",
}

FAILED, CANCELLED, LOST, PAUSED = 10, 11, 12, 13
TIMED_OUT = 124


def epilog() -> str:
    """The table under `bertd --help`."""
    # \b is Click's mark for a paragraph whose lines stay as they are.
    return "\n".join(["\b", "Exit status", *(f"{code:>4}  {meaning}" for code, meaning in MEANINGS.items())])

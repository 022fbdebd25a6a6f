"""Records that processes exchange in files: journal lines, mailbox commands, job specs, outcomes.

bertd/api/models has the records that cross the socket.

All are frozen and ignore unknown fields, so that an older reader can read what a newer version wrote. Fields that end
in `_s` are seconds; `t` is seconds since the epoch (UTC) and only for display: durations come from the charged clock.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bertd.records.states import PROGRAM_KINDS as PROGRAM_KINDS
from bertd.records.states import BudgetUnit as BudgetUnit
from bertd.records.states import DependencyCondition as DependencyCondition
from bertd.records.states import DependencyState as DependencyState
from bertd.records.states import ExitClass as ExitClass
from bertd.records.states import JobKind as JobKind
from bertd.records.states import JobState as JobState
from bertd.records.states import PauseKind as PauseKind

if TYPE_CHECKING:
    from bertd.records.all_records import *  # noqa: F403 - it has __all__


def __getattr__(name: str) -> object:
    """Import the models when one is asked for: what only prints an answer needs the enums, and must not wait for them.

    Raises:
        AttributeError: there is no such name.
    """
    all_records = import_module("bertd.records.all_records")
    if name not in all_records.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update((each, getattr(all_records, each)) for each in all_records.__all__)
    return globals()[name]

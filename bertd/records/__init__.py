"""Records that processes exchange in files: journal lines, mailbox commands, job specs, outcomes.

bertd/api/models.py has the records that cross the socket.

All are frozen and ignore unknown fields, so that an older reader can read what a newer version wrote. Fields that end
in `_s` are seconds; `t` is seconds since the epoch (UTC) and only for display: durations come from the charged clock.
"""

from __future__ import annotations

from bertd.records.checkpoints import KeptCheckpoint, KeptCheckpoints
from bertd.records.command_job import CommandJobSpec
from bertd.records.commands import BudgetRequest, Command, CommandKind
from bertd.records.dependencies import Dependency, DependencyCondition, DependencyState
from bertd.records.finding import Finding, Severity
from bertd.records.finetune import (
    GLUE_FILES,
    GLUE_TASKS,
    LAST_COLUMN,
    SQUAD_LABEL,
    SQUAD_METRICS,
    SQUAD_TEXT,
    TAGGED_METRICS,
    TAGGED_SUFFIXES,
    VIA_TASKS,
    FinetuneSpec,
    Keep,
    MetricName,
    OwnTask,
    TaskDescription,
    Via,
    is_tagged_file,
)
from bertd.records.glue_submission import ChosenModel, SubmissionRequest
from bertd.records.grid import EpochSeconds, GridSpec, GridTrial, MarkerGridState, Preset, TrialOrder, WorkerReply
from bertd.records.journal import (
    AlertRecord,
    BudgetRecord,
    CheckpointRecord,
    CommandRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    GridRecord,
    JournalRecord,
    RestartRecord,
    RollbackRecord,
    ScoreRecord,
    StartRecord,
    StartupRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
    journal_record_adapter,
)
from bertd.records.record import Record
from bertd.records.runner import Outcome, RunnerIdentity
from bertd.records.score_comparison import (
    MIN_SEEDS,
    ComparisonRequest,
    MeanDifference,
    NotCompared,
    ScoreComparison,
    ScoreDifference,
    ScoredTrial,
    TaskDifference,
    TaskTrials,
)
from bertd.records.start_times import DailyHours, StartTimes
from bertd.records.states import BudgetUnit, ExitClass, JobKind, JobState, PauseKind
from bertd.records.sweep import SettingState, SweepRung, SweepSpec, SweepState

__all__ = [
    "AlertRecord",
    "BudgetRecord",
    "BudgetRequest",
    "BudgetUnit",
    "CheckpointRecord",
    "ChosenModel",
    "Command",
    "CommandJobSpec",
    "CommandKind",
    "CommandRecord",
    "ComparisonRequest",
    "DailyHours",
    "Dependency",
    "DependencyCondition",
    "DependencyState",
    "DevicesRecord",
    "EndRecord",
    "EpochSeconds",
    "ExitClass",
    "ExportRecord",
    "Finding",
    "FinetuneSpec",
    "GLUE_FILES",
    "GLUE_TASKS",
    "GridRecord",
    "GridSpec",
    "GridTrial",
    "JobKind",
    "JobState",
    "JournalRecord",
    "Keep",
    "KeptCheckpoint",
    "KeptCheckpoints",
    "MeanDifference",
    "MIN_SEEDS",
    "MarkerGridState",
    "MetricName",
    "NotCompared",
    "Outcome",
    "OwnTask",
    "LAST_COLUMN",
    "SQUAD_LABEL",
    "SQUAD_METRICS",
    "SQUAD_TEXT",
    "TAGGED_METRICS",
    "TAGGED_SUFFIXES",
    "is_tagged_file",
    "PauseKind",
    "Preset",
    "Record",
    "RestartRecord",
    "RollbackRecord",
    "RunnerIdentity",
    "ScoreComparison",
    "ScoreDifference",
    "ScoreRecord",
    "ScoredTrial",
    "SettingState",
    "Severity",
    "StartRecord",
    "StartTimes",
    "StartupRecord",
    "StateRecord",
    "StepRecord",
    "SubmissionRequest",
    "SweepRung",
    "SweepSpec",
    "SweepState",
    "TaskDifference",
    "TaskDescription",
    "TaskTrials",
    "TrialOrder",
    "ValidationRecord",
    "WorkerReply",
    "journal_record_adapter",
    "VIA_TASKS",
    "Via",
]

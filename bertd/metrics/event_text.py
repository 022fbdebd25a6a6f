"""Word each kind of journal record as one line of text. Pure."""

from __future__ import annotations

from bertd.records import (
    AlertRecord,
    BudgetRecord,
    CheckpointRecord,
    CommandRecord,
    DevicesRecord,
    EndRecord,
    ExportRecord,
    ForecastRecord,
    GridRecord,
    JournalRecord,
    LendRecord,
    RestartRecord,
    RollbackRecord,
    ScoreRecord,
    StartRecord,
    StartupRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_change
from bertd.run.forecast.forecast_text import forecast_text


def event_text(record: JournalRecord) -> str:
    """What happened, with its numbers and units."""
    match record:
        case StartRecord():
            start_text = f"from step {record.step}" if record.step else "from the beginning"
            return (
                f"attempt {record.attempt} trains {start_text} on {record.world_size} x {record.device_name}, "
                f"{record.precision}, {record.kernels}"
            )
        case StartupRecord():
            before = f"{record.choose_s:.1f} s to choose, {record.build_s:.1f} s to build"
            return f"first step {record.total_s:.1f} s after the launch: {before}, {record.compile_s:.1f} s to compile"
        case StepRecord():
            return f"step {record.step}: loss {record.loss:.3f}"
        case ValidationRecord():
            part = "" if record.share == 1.0 else f" on {record.share:.0%} of the set, as the budget ended"
            return f"validation loss {record.loss:.3f} at step {record.step}{part} ({record.seconds:.1f} s)"
        case ForecastRecord():
            return f"forecast of the last validation at step {record.step}: {forecast_text(record)}"
        case CheckpointRecord():
            size = f"{record.size_bytes / 1e6:.0f} MB"
            return f"checkpoint {record.name} ({record.why}, {size}, training paused for {record.stall_s:.1f} s)"
        case ExportRecord():
            return f"export {record.name} as {record.architecture} ({record.seconds:.1f} s)"
        case StateRecord():
            return f"{record.state} at step {record.step}: {record.reason}"
        case CommandRecord():
            return f"{record.verb} {record.outcome} at step {record.step}: {record.detail}"
        case BudgetRecord():
            return f"budget {format_budget_change(record.unit, record.before, record.after)} at step {record.step}"
        case DevicesRecord():
            return f"devices from {record.before} to {record.after} at step {record.step}"
        case AlertRecord():
            return f"{record.level} {record.code}: {record.message}"
        case RestartRecord():
            return (
                f"restart: {record.cause}; attempt {record.attempt} begins in {record.delay_s:.0f} s "
                f"from step {record.from_step}"
            )
        case RollbackRecord():
            return (
                f"rollback {record.number} from step {record.from_step} to {record.step}, "
                f"{record.skipped_sequences} sequences left out: {record.cause}"
            )
        case ScoreRecord():
            majority = f"majority class {record.majority_score:.4f}"
            return f"{record.task} {record.metric} {record.score:.4f} ({majority}, {record.seconds:.0f} s)"
        case GridRecord():
            return grid_text(record)
        case LendRecord():
            return lend_text(record)
        case EndRecord():
            return f"{record.reason} at step {record.step}: {record.detail}"


def lend_text(record: LendRecord) -> str:
    """For how long a run was paused for others, and what that has cost so far."""
    jobs = f"job{'s' * (len(record.jobs) > 1)} {', '.join(map(str, record.jobs))}"
    save = "" if record.save_s is None else f", {record.save_s:.1f} s charged to save"
    return f"lend {record.lend} to {jobs} took {format_duration(record.wall_s)}{save}: {record.detail}"


def grid_text(record: GridRecord) -> str:
    """How far a grid is, and why its newest trial has no score."""
    failed = f", {record.num_failed} without a score" if record.num_failed else ""
    newest = f"; {record.trial} {record.outcome}: {record.detail}" if record.outcome not in (None, "scored") else ""
    dropped = f", {record.num_dropped} dropped" if record.num_dropped else ""
    return f"{record.step} of {record.num_trials} trials are over{failed}{dropped}{newest}"

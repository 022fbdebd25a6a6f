"""A replay shows at each time what a reader of the journal up to that time knows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bertd.api.models import SubmitFinetune, SubmitGrid
from bertd.errors import ClientError, RecipeError, RunFolderError
from bertd.metrics.curves import RunCurves
from bertd.metrics.journal_summary import JournalSummary, fold
from bertd.records import (
    AlertRecord,
    EndRecord,
    ForecastRecord,
    JobState,
    JournalRecord,
    PauseKind,
    RestartRecord,
    StateRecord,
    StepRecord,
)
from bertd.run.journal import append_records, read_journal
from tests.metrics.test_curves import start, step
from tui.charts.chart_view import CurvesRequest, Window
from tui.replay.feed import ReplayFeed
from tui.replay.playback import Playback
from tui.replay.recorded_run import find_end, open_recorded_run
from tui.replay.run_state import RunState, state_after
from tui.snapshot import LinkState

RECORDED = Path(__file__).parent / "1-recorded"
"""Recipe and journal of a real run: three minutes on a CPU, to the end of its budget."""


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def replay_of(folder: Path, clock: Callable[[], float]) -> ReplayFeed:
    """A replay at the speed of its clock, whose thread is not started."""
    run = open_recorded_run(folder)
    end_t = find_end(run.journal)
    assert end_t is not None
    return ReplayFeed(run, Playback(begin_t=run.begin_t, end_t=end_t, speed=1.0, clock=clock))


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def feed(clock: _Clock) -> ReplayFeed:
    return replay_of(RECORDED, clock)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the recorded run, to be changed."""
    return Path(shutil.copytree(RECORDED, tmp_path / "7-copy"))


def _records_until(t: float) -> list[JournalRecord]:
    return [record for record in read_journal(RECORDED / "journal.jsonl") if record.t <= t]


@pytest.mark.parametrize("passed_s", [0.0, 20.0, 45.0, 80.0])
def test_at_each_time_it_shows_the_journal_up_to_then(feed: ReplayFeed, clock: _Clock, passed_s: float) -> None:
    clock.now = passed_s
    feed.catch_up()
    snapshot = feed.snapshot()
    known, summary = _records_until(snapshot.now), JournalSummary()
    for record in known:
        summary = fold(summary, record)
    run, series = snapshot.run, snapshot.series
    assert run is not None and series is not None
    assert (run.step, run.validation, run.checkpoint) == (summary.step, summary.validation, summary.checkpoint)
    losses = [record.loss for record in known if isinstance(record, StepRecord)]
    assert [y for _, y in series.columns["loss"]] == losses
    assert [event.t for event in snapshot.events] == [each.t for each in known if not isinstance(each, StepRecord)]
    assert run.state is JobState.RUNNING and snapshot.link.state is LinkState.REPLAY and snapshot.link.is_fresh


def test_at_the_end_the_run_is_over_with_its_result(feed: ReplayFeed) -> None:
    feed.playback.jump(1.0)
    feed.catch_up()
    snapshot = feed.snapshot()
    run, job = snapshot.run, snapshot.job
    assert run is not None and job is not None and run.end is not None and run.export is not None
    assert (run.state, job.state, run.budget.remaining_s) == (JobState.DONE, JobState.DONE, 0.0)
    assert run.validation is not None and run.validation.loss == pytest.approx(6.114, abs=1e-3)
    assert job.ended_t == snapshot.events[-1].t and "end" in snapshot.events[-1].type


def test_a_jump_back_shows_the_earlier_state_again(feed: ReplayFeed, clock: _Clock) -> None:
    clock.now = 40.0
    feed.catch_up()
    before = feed.snapshot()
    clock.now = 90.0
    feed.catch_up()
    assert feed.snapshot().run != before.run
    feed.playback.jump((before.now - feed.playback.now()) / (_records_until(1e12)[-1].t - _records_until(1e12)[0].t))
    feed.catch_up()
    again = feed.snapshot()
    assert again.now == pytest.approx(before.now)
    assert (again.run, again.events) == (before.run, before.events)
    assert again.series is not None and before.series is not None and again.series.columns == before.series.columns


def test_the_curves_follow_the_axis_and_the_window(feed: ReplayFeed) -> None:
    feed.playback.jump(1.0)
    feed.catch_up()
    feed.show_curves(CurvesRequest("step", Window(8.0, 12.0)))
    snapshot = feed.snapshot()
    assert snapshot.series is not None and snapshot.charts.zoomed is not None
    curves = RunCurves(open_recorded_run(RECORDED).recipe.granted)
    for record in read_journal(RECORDED / "journal.jsonl"):
        if isinstance(record, StepRecord):
            curves.add(record)
    assert snapshot.series.columns["loss"] == curves.read(columns=["loss"], axis="step", points=240)["loss"]
    assert {x for x, _ in snapshot.charts.zoomed.columns["loss"]} <= set(range(6, 15))
    assert snapshot.series.smoothed["loss"]


def test_its_thread_follows_and_ends(feed: ReplayFeed) -> None:
    feed.start()
    feed.start()
    assert feed.snapshot().run is not None, "the first moment is there at once"
    feed.close()
    assert feed._thread is not None
    feed._thread.join()


def test_a_journal_that_grows_is_followed(folder: Path, clock: _Clock) -> None:
    feed = replay_of(folder, clock)
    feed.playback.jump(1.0)
    feed.catch_up()
    last = read_journal(folder / "journal.jsonl")[-1]
    more = step(99, charged_s=200.0).model_copy(update={"t": last.t + 60.0})
    append_records(folder / "journal.jsonl", [more])
    feed.catch_up()
    clock.now += 60.0
    feed.catch_up()
    run = feed.snapshot().run
    assert run is not None and run.step is not None and run.step.step == 99


def test_records_after_a_clock_was_set_back_are_shown_by_the_end(folder: Path, clock: _Clock) -> None:
    first = read_journal(folder / "journal.jsonl")[0]
    more = step(99, charged_s=200.0).model_copy(update={"t": first.t + 1.0})
    append_records(folder / "journal.jsonl", [more])
    feed = replay_of(folder, clock)
    feed.playback.jump(1.0)
    feed.catch_up()
    run = feed.snapshot().run
    assert run is not None and run.step is not None and run.step.step == 99


def test_a_forecast_and_an_alert_are_shown(folder: Path, clock: _Clock) -> None:
    t = read_journal(folder / "journal.jsonl")[-1].t
    place = {"t": t, "step": 24, "charged_s": 170.0}
    forecast = ForecastRecord(**place, progress=0.9, loss=6.0, low=5.9, high=6.1, end_step=25, curve=[], basis="x")
    alert = AlertRecord(t=t, step=24, level="warning", code="loss_spike", message="it rose")
    append_records(folder / "journal.jsonl", [forecast, alert])
    feed = replay_of(folder, clock)
    feed.playback.jump(1.0)
    feed.catch_up()
    snapshot = feed.snapshot()
    assert snapshot.run is not None
    assert (snapshot.run.forecast, snapshot.run.alert) == (forecast, alert)
    assert [event.type for event in snapshot.charts.events][-1] == "alert"


def test_damaged_lines_are_left_out_and_said(folder: Path, clock: _Clock) -> None:
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:5], "\x00\x00{\n", '{"kind":"of another version"}\n', *lines[5:]]))
    feed = replay_of(folder, clock)
    feed.playback.jump(1.0)
    feed.catch_up()
    assert "7-copy: 2 damaged lines of the journal are left out" in [event.text for event in feed.snapshot().events]


def test_a_folder_or_its_journal_names_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for path in (folder, folder / "journal.jsonl", Path(), Path("journal.jsonl")):
        run = open_recorded_run(path)
        assert (run.id, run.job_id) == ("7-copy", 7)


def test_what_cannot_be_played_says_why(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    whole = journal.read_text()
    with pytest.raises(RunFolderError, match="there is no such folder or file; give the folder of a run"):
        open_recorded_run(folder / "none")
    with pytest.raises(RunFolderError, match=r"this folder has no journal.jsonl; give the folder of a run"):
        open_recorded_run(folder.parent)
    journal.write_text("".join(line for line in whole.splitlines(keepends=True) if '"kind":"step"' not in line))
    with pytest.raises(RunFolderError, match="it has no step, so there is nothing to play"):
        open_recorded_run(folder)
    journal.write_bytes(b"\x00" * 100 + b"\n" + b"not a record\n")
    with pytest.raises(RunFolderError, match="none of its 2 lines is a record: it is damaged"):
        open_recorded_run(folder)
    journal.write_text(whole)
    (folder / "recipe.toml").unlink()
    with pytest.raises(RecipeError, match="recipe.toml"):
        open_recorded_run(folder)


def test_nothing_can_be_changed(feed: ReplayFeed) -> None:
    order = SubmitFinetune(run="1", task="cola", data_dir="/d")
    grid = SubmitGrid(run="1", tasks=["cola"], data_dir="/d")
    on_job = (
        feed.pause,
        feed.resume,
        feed.checkpoint,
        feed.stop,
        feed.hold,
        feed.release,
        feed.clone,
        feed.would_start,
    )
    requests: list[Callable[[], object]] = [
        *(partial(act, 1) for act in on_job),
        lambda: feed.submit(order),
        lambda: feed.estimate_lend(order),
        lambda: feed.estimate_grid(grid),
        lambda: feed.drain("gpu0"),
        lambda: feed.log(1, offset=0, limit=10),
    ]
    for request in requests:
        with pytest.raises(ClientError, match="this is a replay of a journal"):
            request()


_PLACE = {"t": 5.0, "step": 8, "charged_s": 9.0}
_PAUSED = StateRecord(**_PLACE, state=JobState.PAUSED, reason="by you")


@pytest.mark.parametrize(
    ("record", "state", "pause"),
    [
        (start(0, charged_s=0.0, attempt=1), JobState.RUNNING, None),
        (RestartRecord(**_PLACE, attempt=2, cause="x", delay_s=1.0, from_step=5), JobState.STARTING, None),
        (_PAUSED, JobState.PAUSED, PauseKind.COLD),
        (_PAUSED.model_copy(update={"is_hot": True}), JobState.PAUSED, PauseKind.HOT),
        (StateRecord(**_PLACE, state=JobState.RUNNING, reason="resumed"), JobState.RUNNING, None),
        (EndRecord(**_PLACE, sequences=1, reason="stopped", detail="x"), JobState.DONE, None),
        (EndRecord(**_PLACE, sequences=1, reason="failed", detail="x"), JobState.FAILED, None),
    ],
)
def test_a_record_changes_the_state(record: JournalRecord, state: JobState, pause: PauseKind | None) -> None:
    after = state_after(RunState(), record)
    assert (after.state, after.pause) == (state, pause)
    assert after.ended_t == (5.0 if isinstance(record, EndRecord) else None)

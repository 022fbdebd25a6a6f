"""A run with trackers: whatever happens to them, the run ends as it would without, and never waits."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bertd.records import CommandKind, JobState
from bertd.run.recipe.load import format_recipe, parse_recipe
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import RunnerBox, recipe_text
from tests.trackers.libraries import READ_TENSORBOARD, environment, read_with, require_library
from tests.waiting import wait_for

STEPS = 30


@pytest.fixture
def tracked(box: RunnerBox, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunnerBox]:
    """A run that has TensorBoard as its tracker; what is left of the tracker's processes is killed."""
    monkeypatch.setattr("tests.jobs.runner_box.with_tests_on_path", environment)
    text = f'{recipe_text(steps=STEPS)}\n[trackers]\nto = ["tensorboard"]\nevery = "0.0001s"\n'
    box.paths.recipe.write_text(format_recipe(parse_recipe(text, name="tracked")))
    yield box
    for process in tracker_processes(box):
        process.kill()


def tracker_processes(box: RunnerBox) -> list[psutil.Process]:
    """Processes, of any parent, whose command names the run's folder but for the runner and its ranks."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(box.paths.root) in " ".join(words) and ("bertd.trackers" in words or "stand-in" in " ".join(words)):
            found.append(process)
    return found


def stand_in(box: RunnerBox, code: str) -> Plan:
    """A plan with a tracker that runs this code."""
    return Plan(tracker=[sys.executable, "-c", f"# stand-in for {box.paths.root}\n{code}"])


def require_whole_run(box: RunnerBox) -> None:
    outcome = box.outcome()
    assert (outcome.state, outcome.reason) == (JobState.DONE, "the budget is spent")
    assert box.records("step")[-1]["step"] == STEPS


def points_of(box: RunnerBox, folder: Path) -> list[list[float]]:
    points, _ = json.loads(read_with(READ_TENSORBOARD, str(box.paths.tracker("tensorboard")), cwd=folder))
    found: list[list[float]] = points["train/loss"]
    return found


def wait_for_all(box: RunnerBox) -> None:
    wait_for(
        lambda: not tracker_processes(box) and box.paths.tracker_state("tensorboard").exists(),
        what="the tracker's end; its log: " + box.paths.tracker_log("tensorboard").read_text(),
    )


def test_a_tracker_gets_the_whole_run_and_ends_with_it(tracked: RunnerBox, tmp_path: Path) -> None:
    require_library("tensorboard")
    tracked.start(Plan(step_s=0.02))
    require_whole_run(tracked)
    wait_for_all(tracked)
    steps = tracked.records("step")
    assert points_of(tracked, tmp_path) == [[record["step"], pytest.approx(record["loss"])] for record in steps]


def test_a_run_that_is_paused_and_resumed_has_each_point_once(tracked: RunnerBox, tmp_path: Path) -> None:
    require_library("tensorboard")
    tracked.start(Plan(hold_at=7))
    tracked.wait_for_record("step", count=7)
    tracked.post(CommandKind.PAUSE)
    assert tracked.outcome().state is JobState.PAUSED
    wait_for_all(tracked)
    tracked.release()
    tracked.start(Plan())
    require_whole_run(tracked)
    wait_for_all(tracked)
    assert [step for step, _ in points_of(tracked, tmp_path)] == [*range(1, STEPS + 1)]
    assert len([*tracked.paths.tracker("tensorboard").iterdir()]) == 2


def test_a_killed_tracker_is_not_noticed(tracked: RunnerBox) -> None:
    tracked.start(stand_in(tracked, "import signal; signal.pause()").model_copy(update={"hold_at": 7}))
    wait_for(lambda: bool(tracker_processes(tracked)), what="the tracker")
    tracked.wait_for_record("step", count=7)
    for process in tracker_processes(tracked):
        process.kill()
    tracked.release()
    require_whole_run(tracked)


def test_a_hung_tracker_is_not_waited_for(tracked: RunnerBox) -> None:
    deaf = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: signal.pause()"
    tracked.start(stand_in(tracked, deaf))
    wait_for(lambda: bool(tracker_processes(tracked)), what="the tracker")
    require_whole_run(tracked)
    (hung,) = tracker_processes(tracked)
    assert tracked.process is not None
    assert tracked.process.pid not in [parent.pid for parent in hung.parents()]


@pytest.mark.parametrize(
    "command", [["/no/such/program"], [sys.executable, "-c", "1/0"], ["/bin/sh", "-c", "kill -9 $$"]]
)
def test_a_tracker_that_does_not_start_is_not_noticed(command: list[str], tracked: RunnerBox) -> None:
    tracked.start(Plan(tracker=command))
    require_whole_run(tracked)


def test_a_folder_that_cannot_be_made_is_logged_and_the_run_goes_on(tracked: RunnerBox) -> None:
    tracked.paths.trackers.touch()
    tracked.start()
    require_whole_run(tracked)
    assert "the trackers are not fed" in tracked.log
    assert "the run goes on without them" in tracked.log


def test_a_disk_that_refuses_ends_the_tracker_with_a_line_and_not_the_run(tracked: RunnerBox) -> None:
    require_library("tensorboard")
    code = (
        "import sys; from bertd.program import run_main; from bertd.trackers import __main__ as tracker\n"
        "tracker.LOWEST_PRIORITY = 0; sys.exit(run_main(lambda: tracker.main(sys.argv[1:])))"
    )
    words = [sys.executable, "-c", code]
    real = shlex.join([*words, str(tracked.paths.root), "tensorboard"])
    # Of one block: what is written beyond is refused, as on a full disk.
    tracked.start(Plan(tracker=["/bin/sh", "-c", f"ulimit -f 1; exec {real}"], step_s=0.01))
    require_whole_run(tracked)
    log = tracked.paths.tracker_log("tensorboard")
    wait_for(lambda: "cannot write: File too large" in log.read_text(), what="the tracker's line")
    assert "Traceback" not in log.read_text()


def test_a_tracker_without_its_package_says_what_to_install(
    tracked: RunnerBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.jobs.runner_box.with_tests_on_path", lambda: environment(BERTD_HIDDEN="1"))
    code = (
        "import sys; from bertd.trackers.sinks import open_sink; open_sink.find_spec = lambda name: None\n"
        "from bertd.program import run_main; from bertd.trackers.__main__ import main\n"
        "from bertd.trackers import __main__ as tracker; tracker.LOWEST_PRIORITY = 0\n"
        f"sys.exit(run_main(lambda: main([{str(tracked.paths.root)!r}, 'tensorboard']), is_logged=True))"
    )
    tracked.start(stand_in(tracked, code))
    require_whole_run(tracked)
    log = tracked.paths.tracker_log("tensorboard")
    wait_for(lambda: "pip install 'bertd[tensorboard]'" in log.read_text(), what="the tracker's line")


def test_a_second_process_leaves_the_tracker_to_the_first(tracked: RunnerBox) -> None:
    tracked.start(Plan(hold_at=7))
    wait_for(lambda: bool(tracker_processes(tracked)), what="the tracker")
    lock = tracked.paths.trackers / "tensorboard.lock"
    wait_for(lock.exists, what="its lock")
    wait_for(lambda: str(lock.stat().st_ino) in Path("/proc/locks").read_text(), what="its lock")
    code = (
        "import sys; from bertd.trackers import follow; follow.LOCK_WAIT_S = 0\n"
        "from bertd.trackers import __main__ as tracker; tracker.LOWEST_PRIORITY = 0; tracker.main(sys.argv[1:])"
    )
    second = psutil.Popen([sys.executable, "-c", code, str(tracked.paths.root), "tensorboard"], env=environment())
    assert second.wait() == 0
    assert tracker_processes(tracked)
    tracked.release()
    require_whole_run(tracked)


def test_a_call_that_hangs_is_ended_by_the_kernel(tracked: RunnerBox) -> None:
    tracked.run(steps=STEPS)
    code = (
        "import ctypes; from bertd.trackers import follow; follow.HANG_S = 1\n"
        # With the GIL held, so that no Python code could end it.
        "follow.open_sink = lambda *arguments, **options: ctypes.PyDLL(None).sleep(3600)\n"
        "from pathlib import Path; from bertd.run.paths import RunPaths\n"
        f"paths = RunPaths(Path({str(tracked.paths.root)!r}))\n"
        "paths.tracker_state('tensorboard').unlink(missing_ok=True)\n"
        "follow.TrackerFollower(paths, follow.MetricsFormat.TENSORBOARD).follow_to_the_end()"
    )
    hung = psutil.Popen([sys.executable, "-c", code], env=environment())
    assert hung.wait() == -signal.SIGALRM

"""bertd.cli.commands.query_commands: the output for a person and for a script."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from bertd.api.models import JobView, LogView, ScoreView, StatusView
from bertd.cli.commands import logs, wait
from bertd.cli.output.job_details import JobDetails
from bertd.jobs.runner import log_truncation
from bertd.records import JobState
from bertd.run.paths import JobPaths
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon, frame


def test_status_answers_alive_how_long_how_good_how_fast(bertd: Bertd, daemon: FakeDaemon) -> None:
    out = bertd("status").out
    for expected in ("bertd 0.1.0", "pid 4123", "7-demo", "running", "50.0% of 24h 00m", "12h 00m", "12,034", "1.873"):
        assert expected in out
    for expected in ("1.912", "2,214", "waits for a device: job 7 holds the only one", "98%", "61.0 GiB of 140.0 GiB"):
        assert expected in out
    assert "validation 1.912" in out
    assert "\x1b" not in out


def test_status_before_the_first_run_says_how_to_start_one(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.status = daemon.status.model_copy(update={"runs": [], "jobs": [], "events": [], "devices": []})
    assert "No run yet; start one with `bertd submit RECIPE`." in bertd("status").out


def test_reading_subcommands_print_what_the_api_gives(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert StatusView.model_validate_json(bertd("status", "--json").out) == daemon.status
    assert [JobView.model_validate(row) for row in json.loads(bertd("jobs", "--json").out)] == daemon.jobs
    assert [ScoreView.model_validate(row) for row in json.loads(bertd("scores", "--json").out)] == daemon.scores
    shown = JobDetails.model_validate_json(bertd("show", "7", "--json").out)
    assert shown == JobDetails(job=daemon.jobs[0], run=daemon.runs[0], scores=daemon.scores)


def test_jobs_asks_for_those_of_a_state_kind_and_user(bertd: Bertd, daemon: FakeDaemon) -> None:
    options = ("--state", "running", "--kind", "pretrain", "--user", "ada", "--limit", "1")
    assert len(json.loads(bertd("jobs", "--json", *options).out)) == 1
    assert daemon.requests[-1].query == {"state": ["running"], "kind": ["pretrain"], "user": ["ada"], "limit": ["1"]}
    said = bertd("jobs", "--state", "busy")
    assert said.code == 2 and "is not one of: queued" in said.err


def test_an_earlier_daemon_that_ignores_filters_is_not_believed(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.ignores_filters = True
    said = bertd("jobs", "--state", "lost")
    assert said.code == 1 and "earlier bertd" in said.err


def test_jobs_lists_every_job_with_its_reason(bertd: Bertd, daemon: FakeDaemon) -> None:
    lines = bertd("jobs").out.splitlines()
    assert lines[0].split()[:4] == ["JOB", "KIND", "NAME", "STATE"]
    assert lines[1].split()[:4] == ["7", "pretrain", "demo", "running"]
    assert lines[2].endswith("waits for a device: job 7 holds the only one")
    daemon.jobs = []
    assert bertd("jobs").out == "No job yet.\n"


def test_scores_are_summarised_beside_the_majority_class(bertd: Bertd, daemon: FakeDaemon) -> None:
    header, row, legend, cost = bertd("scores").out.splitlines()
    assert cost == "7-demo/step-000012000: 2 x NVIDIA H200, 12 h (23.9 GPU-hours)"
    assert header.split()[:5] == ["TASK", "METRIC", "MEDIAN", "LOWEST", "HIGHEST"]
    assert row.split()[:7] == ["cola", "matthews", "0.5613", "0.5613", "0.5613", "1", "1"]
    assert row.split()[-2:] == ["0.0000", "7-demo/step-000012000"]
    assert "chosen on the same development set" in legend
    assert bertd("scores", "7-demo").code == 0
    assert {"run": ["7-demo"]} in [request.query for request in daemon.requests]
    assert bertd("scores", "7-demo", "9-other").out.count("matthews") == 1
    daemon.scores = []
    assert "bertd finetune RUN" in bertd("scores").out


def test_trials_are_listed_one_by_one(bertd: Bertd, daemon: FakeDaemon) -> None:
    header, row = bertd("scores", "--trials").out.splitlines()
    assert header.split()[:5] == ["JOB", "TASK", "METRIC", "SCORE", "MAJORITY"]
    assert row.split()[:5] == ["8", "cola", "matthews", "0.5613", "0.0000"]
    assert (header.split()[-2], row.split()[-2]) == ("PRECISION", "fp16")


def test_scores_are_printed_for_a_paper_beside_published_ones(bertd: Bertd, daemon: FakeDaemon) -> None:
    markdown = bertd("scores", "--markdown", "--published").out
    assert "| 7-demo/step-000012000 |" in markdown and " 56.1 |" in markdown
    assert "| 24hBERT | 84.4/83.8 |" in markdown and "test, from MNLI; mean of 9 columns: Izsak et al. 2021" in markdown
    latex = bertd("scores", "--latex").out
    assert "| 78.6 | 24 | 1 x A6000, 24 h | dev" in markdown
    assert "| 23.9 | 2 x NVIDIA H200, 12 h | dev, 1 seed |" in markdown
    assert "& 23.9 & 2 x NVIDIA H200, 12 h &" in latex
    assert r"7-demo/step-000012000 &" in latex and latex.rstrip().endswith(r"\end{tabular}")
    text = bertd("scores", "--published").out
    assert "1965  8 x H100, 245.6 h" in text
    assert text.index("Published, dev sets") < text.index("Published, test sets")
    assert bertd("scores", "--markdown", "--latex").code == 2


def test_show_prints_the_run_of_the_job(bertd: Bertd, daemon: FakeDaemon) -> None:
    out = bertd("show", "7").out
    for expected in ("24 layers x 1024", "50.0% of 24h 00m, 12h 00m left", "2 x NVIDIA H200, bf16"):
        assert expected in out
    for expected in ("best 1.9100", "word frequency: 7.0100", "step-000012000, 3.7 GiB", "1, 30 steps lost", "0.5613"):
        assert expected in out


def test_a_job_is_named_by_number_run_id_or_at(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd("show", "7").out == bertd("show", "7-demo").out == bertd("show", "@").out == bertd("show").out


def test_an_unknown_job_ends_with_4(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("show", "99")
    assert (said.code, said.err) == (4, "bertd: job 99: no such job; see bertd jobs\n")


def test_names_from_outside_cannot_steer_the_terminal(bertd: Bertd, daemon: FakeDaemon) -> None:
    nasty = "\x1b]0;x\x07\u202egpj"
    daemon.jobs = [daemon.jobs[0].model_copy(update={"name": nasty, "reason": nasty, "folder": nasty})]
    daemon.runs = [daemon.runs[0].model_copy(update={"model": nasty, "reason": nasty})]
    events = [samples.event(1, text=nasty)]
    daemon.status = daemon.status.model_copy(update={"jobs": daemon.jobs, "runs": daemon.runs, "events": events})
    for verb in ("status", "jobs", "show"):
        out = bertd(verb).out
        assert "\\x1b]0;x\\x07\\u202egpj" in out
        assert not {"\x1b", "\x07", "\u202e"} & set(out)


# ---- logs ------------------------------------------------------------------------------------------


def test_logs_prints_the_whole_log_in_pieces(bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_PIECE_BYTES", 10)
    daemon.log = b"".join(b"step %d\n" % number for number in range(20))
    assert bertd("logs", "7").out == daemon.log.decode()
    assert len([request for request in daemon.requests if request.path.endswith("/log")]) > 10


@pytest.mark.parametrize("lines", [0, 1, 3, 500])
def test_logs_can_begin_with_the_last_lines(lines: int, bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.log = b"".join(b"step %d\n" % number for number in range(20)) + "größe".encode()
    whole = daemon.log.decode().splitlines(keepends=True)
    assert bertd("logs", "7", "-n", str(lines)).out == "".join(whole[-lines:] if lines else [])
    for line in bertd("logs", "7", "-n", str(lines), "--json").out.splitlines():
        piece = LogView.model_validate_json(line)
        assert daemon.log[piece.offset : piece.next_offset].decode() == piece.text


def test_a_followed_log_is_read_from_the_disk_while_no_daemon_answers(
    bertd: Bertd, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = JobPaths(tmp_path / "job")
    paths.logs.mkdir(parents=True)
    paths.log.write_bytes(b"step 1\nstep 2\n")
    daemon.log = b"step 1\n"
    daemon.jobs = [job.model_copy(update={"folder": str(paths.root)}) for job in daemon.jobs]

    def lose_daemon(_: float) -> None:
        if daemon.socket.exists():
            daemon.socket.unlink()
        else:
            paths.log.write_bytes(b"step 1\nstep 2\nstep 3\n")
            paths.outcome.write_text("{}")

    monkeypatch.setattr(time, "sleep", lose_daemon)
    said = bertd("logs", "7", "-f")
    assert (said.code, said.out) == (0, "step 1\nstep 2\nstep 3\n")
    assert f"until it is back the log is read from {paths.log}" in said.err and len(said.err.splitlines()) == 1


def test_logs_shows_control_characters_as_escapes(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.log = b"loss \x1b[31m1.0\x1b[0m\r\n"
    assert bertd("logs", "7").out == "loss \\x1b[31m1.0\\x1b[0m\\x0d\n"


def test_logs_as_json_are_pieces_with_their_place(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.log = b"step 1\n"
    piece = LogView.model_validate_json(bertd("logs", "7", "--json").out)
    assert (piece.text, piece.offset, piece.next_offset, piece.size) == ("step 1\n", 0, 7, 7)


def test_logs_of_a_job_that_has_none_yet_are_empty(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd("logs", "7").out == ""


def test_following_prints_what_is_written_until_the_job_is_over(
    bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.log = b"step 1\n"
    waits: list[float] = []

    def write_more(seconds: float) -> None:
        waits.append(seconds)
        daemon.log += b"step %d\n" % (len(waits) + 1)
        if len(waits) == 3:
            daemon.set_state(7, JobState.DONE)

    monkeypatch.setattr(time, "sleep", write_more)
    assert bertd("logs", "7", "-f").out == "step 1\nstep 2\nstep 3\nstep 4\n"
    assert len(waits) == 3


TIMED_LOG = b"".join(b"step %d\n" % number for number in range(10))
NOW = 1_800_000_000.0


@pytest.fixture
def timed(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """A log that got a line each minute; the last one now."""
    daemon.log = TIMED_LOG
    daemon.log_times = [(NOW - 60 * (9 - number), 7 * number + 7) for number in range(10)]
    monkeypatch.setattr("bertd.cli.options.time.time", lambda: NOW)
    return daemon


@pytest.mark.parametrize("piece_bytes", [1, 10, 1 << 18])
@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--since", "3min"], range(7, 10)),
        (["--since", "3min ago"], range(7, 10)),
        (["--until", "5min"], range(5)),
        (["--since", "5 min ago", "--until", "2min"], range(5, 8)),
        (["--since", "2h"], range(10)),
        (["--since", "2h", "--until", "1h"], range(1)),
        (["--since", datetime.fromtimestamp(NOW - 120).isoformat()], range(8, 10)),
        (["--since", f"{datetime.fromtimestamp(NOW - 120):%H:%M}"], range(8, 10)),
    ],
)
def test_logs_prints_what_was_written_in_a_time(
    options: list[str],
    numbers: range,
    piece_bytes: int,
    bertd: Bertd,
    timed: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_PIECE_BYTES", piece_bytes)
    said = bertd("logs", "7", *options)
    assert (said.code, said.out) == (0, "".join(f"step {number}\n" for number in numbers))
    pieces = [LogView.model_validate_json(line) for line in bertd("logs", "7", *options, "--json").out.splitlines()]
    assert "".join(piece.text for piece in pieces) == said.out


def test_a_log_is_followed_from_a_time_on(bertd: Bertd, timed: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_: float) -> None:
        timed.log += b"step 10\n"
        timed.set_state(7, JobState.DONE)

    monkeypatch.setattr(time, "sleep", end)
    assert bertd("logs", "7", "-f", "--since", "1min").out == "step 9\nstep 10\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "tomorrow"], "'tomorrow' is not a time; give 2h, 22:00 or 2026-12-01T08:00"),
        (["--until", "2100-01-01T00:00"], "is not in the past"),
        (["--since", "1h", "--until", "2h"], "--since is not before --until"),
        (["--until", "1h", "-f"], "leave out --until"),
        (["--since", "1h", "-n", "5"], "--lines counts from the end of the log"),
    ],
)
def test_times_that_cannot_be_meant_are_refused(options: list[str], expected: str, bertd: Bertd) -> None:
    said = bertd("logs", "7", *options)
    assert said.code == 2 and expected in " ".join(said.err.split())


@pytest.mark.parametrize("piece_bytes", [64, 1 << 18])
@pytest.mark.parametrize("options", [[], ["-n", "3"]])
@pytest.mark.parametrize("num_unread", [0, 5, 40])
def test_a_followed_log_loses_no_line_when_its_runner_cuts_it(
    num_unread: int,
    options: list[str],
    piece_bytes: int,
    bertd: Bertd,
    daemon: FakeDaemon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(logs, "_TAIL_CHARACTERS", 50)
    monkeypatch.setattr(log_truncation, "MAX_LOG_BYTES", 3_000)
    monkeypatch.setattr(log_truncation, "KEPT_BYTES", 1_000)
    lines = [f"a line of step {number}\n" for number in range(300)]
    daemon.log = "".join(lines[:250]).encode()

    def cut(_: float) -> None:
        path = tmp_path / "job.log"
        path.write_bytes(daemon.log + "".join(lines[250 : 250 + num_unread]).encode())
        log_truncation.truncate_log(path)
        daemon.log = path.read_bytes() + "".join(lines[250 + num_unread :]).encode()
        assert len(daemon.log) < 3_000
        daemon.set_state(7, JobState.DONE)

    monkeypatch.setattr(time, "sleep", cut)
    out = bertd("logs", "7", "-f", *options).out
    assert out.endswith("".join(lines[250:])) and out.count(lines[249]) == 1
    if not options:
        assert out == "".join(lines)


def test_a_followed_log_of_which_all_was_cut_is_printed_from_its_begin(
    bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.log = b"step 1\nstep 2\n"

    def replace(_: float) -> None:
        daemon.log = b"step 9\n"
        daemon.set_state(7, JobState.DONE)

    monkeypatch.setattr(time, "sleep", replace)
    assert bertd("logs", "7", "-f").out == "step 1\nstep 2\nstep 9\n"


# ---- wait ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code"),
    [(JobState.DONE, 0), (JobState.FAILED, 10), (JobState.CANCELLED, 11), (JobState.LOST, 12)],
)
def test_wait_ends_at_once_with_how_the_job_ended(state: JobState, code: int, bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.set_state(7, state, reason="because")
    said = bertd("wait", "7")
    assert (said.code, said.out) == (code, f"job 7 (demo) is {state}: because\n")


def test_wait_reads_the_end_from_an_event(bertd: Bertd, daemon: FakeDaemon) -> None:
    other, own = samples.event(1, job_id=8), samples.event(2, job_id=7)
    real_answer = daemon.answer
    daemon.stream.put(frame(other))
    daemon.stream.put(frame(own))

    def end_at_the_third_question(request: object) -> object:
        if len([seen for seen in daemon.requests if seen.path == "/v1/jobs/7"]) == 3:
            daemon.set_state(7, JobState.DONE, reason="the budget is spent")
        return real_answer(request)  # type: ignore[arg-type]  # passes through what it got

    daemon.answer = end_at_the_third_question  # type: ignore[method-assign,assignment]  # a spy
    said = bertd("wait", "7", "--json")
    assert said.code == 0
    assert JobView.model_validate_json(said.out).state is JobState.DONE


def test_wait_reads_the_end_from_a_tick(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.stream.put(frame(samples.status()))
    daemon.stream.put(frame(samples.status(state=JobState.FAILED)))
    assert bertd("wait", "7").code == 10


def test_wait_goes_on_through_a_paused_job(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.set_state(7, JobState.PAUSED)
    daemon.stream.put(frame(samples.status(state=JobState.PAUSED)))
    daemon.stream.put(frame(samples.status(state=JobState.DONE)))
    assert bertd("wait", "7").code == 0


def test_wait_gives_up_after_its_timeout_and_says_where_the_job_stands(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("wait", "7", "--timeout", "0.05s")
    assert (said.code, said.out) == (124, "job 7 (demo) is running\n")


def test_wait_goes_on_when_the_daemon_is_started_again(bertd: Bertd, daemon: FakeDaemon) -> None:
    daemon.stream.put(None)
    daemon.stream.put(frame(samples.status(state=JobState.DONE)))
    assert bertd("wait", "7").code == 0
    assert len([request for request in daemon.requests if request.path == "/v1/events"]) == 2


def test_wait_gives_up_on_a_daemon_that_does_not_come_back(
    bertd: Bertd, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "RECONNECT_S", 0.0)
    for _ in range(3):
        daemon.stream.put(None)
    said = bertd("wait", "7")
    assert said.code == 69
    assert "closed the connection" in said.err


def test_the_socket_can_be_given_to_each_reading_subcommand(bertd: Bertd, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.set_state(7, JobState.DONE)
    for verb in ("status", "jobs", "show", "scores", "logs", "wait"):
        assert bertd(verb, "--socket", str(tmp_path / "other.sock")).code == 69
        assert bertd(verb, "--socket", str(daemon.socket)).code == 0

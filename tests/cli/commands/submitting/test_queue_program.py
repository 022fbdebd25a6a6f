"""--queue of `bertd data prepare`, `bertd evaluate` and `bertd export`: what the daemon is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.api.models import SubmitEvaluate, SubmitExport, SubmitPrepare
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "model", "."]
OF_A_JOB = ("--after", "3,7@0.5", "--after-any", "9", "--begin", "+2h", "--priority", "4", "--retries", "2", "--hold")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"text": "The model."}) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BERTD_DATA", str(tmp_path / "data"))
    return tmp_path


def test_a_data_set_is_queued_with_its_options_and_its_place(
    bertd: Bertd, daemon: FakeDaemon, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--out", "mine", "--validation", "0.1", "--replace", "--processes", "3", "--time-limit", "90min")
    arguments = ("data", "prepare", "corpus.jsonl", "--vocab", "vocab.txt", *options, "--queue")
    monkeypatch.setattr("sys.argv", ["bertd", *arguments])
    said = bertd(*arguments)
    assert said.code == 0, said.err
    body = SubmitPrepare.model_validate_json(daemon.requests[-1].body)
    assert body.arguments == ["--vocab=vocab.txt", "--validation=0.1", "--replace", "--", "corpus.jsonl"]
    assert (body.out, body.cwd, body.cpus, body.time_limit_s) == (str(place / "data" / "mine"), str(place), 3, 5400.0)


def test_sources_that_another_job_makes_need_not_be_there(
    bertd: Bertd, daemon: FakeDaemon, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("data", "prepare", "later/", "--vocab", "later-vocab", "--out", "./here", "--queue", *OF_A_JOB)
    monkeypatch.setattr("sys.argv", ["bertd", *arguments])
    assert bertd(*arguments).code == 0
    body = SubmitPrepare.model_validate_json(daemon.requests[-1].body)
    assert (body.out, body.after, body.after_any) == (str(place / "here"), ["3", "7@0.5"], ["9"])
    assert (body.begin, body.priority, body.retries, body.hold) == ("+2h", 4, 2, True)


@pytest.mark.parametrize(
    "wrong",
    [
        ("gone.jsonl", "--vocab", "vocab.txt", "--out", "x", "--queue"),
        ("corpus.jsonl", "--vocab", "gone.txt", "--out", "x", "--queue"),
        ("corpus.jsonl", "--vocab", "vocab.txt", "--queue"),
        ("corpus.jsonl", "--vocab", "vocab.txt", "--out", "x", "--queue", "--retries", "-1"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said_before_the_daemon_is_asked(
    wrong: tuple[str, ...], bertd: Bertd, daemon: FakeDaemon, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["bertd", "data", "prepare", *wrong])
    assert bertd("data", "prepare", *wrong).code != 0
    assert daemon.requests == []


def test_an_evaluation_is_queued_as_it_was_typed(bertd: Bertd, daemon: FakeDaemon, place: Path) -> None:
    options = (
        "--shards",
        "mine",
        "--sequences",
        "50",
        "--cpus",
        "2",
        "--name",
        "check",
        "--time-limit",
        "1h",
        "--memory",
        "6GiB",
    )
    assert bertd("evaluate", "@@0.5", "--queue", *options, *OF_A_JOB).code == 0
    body = SubmitEvaluate.model_validate_json(daemon.requests[-1].body)
    assert (body.run, body.shards, body.sequences) == ("@@0.5", str(place / "data" / "mine"), 50)
    assert body.memory_bytes == 6 << 30
    assert (body.cpus, body.name, body.time_limit_s, body.after) == (2, "check", 3600.0, ["3", "7@0.5"])
    assert bertd("evaluate", "./export", "--queue", "--shards", "/data", "--sequence-length", "64").code == 0
    body = SubmitEvaluate.model_validate_json(daemon.requests[-1].body)
    assert (body.run, body.shards, body.sequence_length) == (str(place / "export"), "/data", 64)


def test_an_export_is_queued_as_it_was_typed(bertd: Bertd, daemon: FakeDaemon, place: Path) -> None:
    assert bertd("export", "7@400", "--queue", "--out", "there", "--hold").code == 0
    body = SubmitExport.model_validate_json(daemon.requests[-1].body)
    assert (body.run, body.out, body.hold, body.cpus) == ("7@400", str(place / "there"), True, None)


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_options_of_a_job_need_queue(verb: str, bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd(verb, "7", "--after", "3")
    assert said.code == 2 and "give --queue too" in " ".join(said.err.replace("│", " ").split())
    assert daemon.requests == []

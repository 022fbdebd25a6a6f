"""`bertd submit --command`: the daemon gets the argv, the folder and the part of the environment that is passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.api.models import SubmitCommand
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOOD", "calm")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    return tmp_path


def test_a_command_is_submitted_as_it_was_typed(bertd: Bertd, daemon: FakeDaemon, place: Path) -> None:
    options: tuple[str, ...] = ("--after", "3,7@0.5", "--after", "9", "--after-any", "@", "--begin", "+2h")
    options += (
        "--devices",
        "2",
        "--memory",
        "1.5GiB",
        "--name",
        "probe",
        "--env",
        "MOOD",
        "--env",
        "LEVEL=a=b",
        "--time-limit",
        "90min",
        "--retries",
        "3",
    )
    said = bertd("submit", "--command", *options, "--run", "@", "--hold", "--", "python", "x.py", "--lr", "3", "$HOME")
    assert said.code == 0 and "bertd release 9" in said.out
    body = SubmitCommand.model_validate_json(daemon.requests[-1].body)
    assert body.argv == ["python", "x.py", "--lr", "3", "$HOME"]
    assert (body.cwd, body.devices, body.name, body.run) == (str(place), 2, "probe", "@")
    assert body.memory_bytes == 3 << 29
    assert (body.after, body.after_any, body.begin) == (["3", "7@0.5", "9"], ["@"], "+2h")
    assert (body.time_limit_s, body.retries, body.hold) == (5400.0, 3, True)
    assert (body.environment["MOOD"], body.environment["LEVEL"]) == ("calm", "a=b")
    assert "HF_TOKEN" not in body.environment and b"s3cret" not in daemon.requests[-1].body


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--command",), "give the program after --"),
        (("--command", "--env", "HF_TOKEN", "--", "true"), "names a secret"),
        (("--command", "--env", "UNSET_HERE", "--", "true"), "is not set here"),
        (("--command", "--budget", "3h", "--", "true"), "it is for a recipe"),
        (("demo", "--cpus", "2"), "it is for a command"),
        (("--command", "--devices", "1", "--memory", "ten", "--", "true"), "give one such as 10GiB or 24GB"),
        (("--command", "--devices", "1", "--memory", "1KB", "--", "true"), "less than 1MiB"),
        (("demo", "--memory", "2GiB"), "it is for a command"),
        (("demo", "other"), "give one recipe"),
        ((), "give a recipe"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_daemon_is_asked(
    arguments: tuple[str, ...], words: str, bertd: Bertd, daemon: FakeDaemon, place: Path
) -> None:
    said = bertd("submit", *arguments)
    assert said.code == 2
    assert words in " ".join(said.err.replace("│", " ").split())
    assert daemon.requests == []

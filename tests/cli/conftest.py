"""A fake daemon, and the command line called in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from bertd.cli.main import main
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """Listens on tmp_path/bertd.sock."""
    with FakeDaemon(tmp_path / "bertd.sock") as daemon:
        yield daemon


@dataclass(frozen=True)
class Said:
    """Exit status and output of a command."""

    code: int
    out: str
    err: str


class Bertd(Protocol):
    """Calls `bertd`."""

    def __call__(self, *arguments: str) -> Said: ...


@pytest.fixture
def bertd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bertd:
    """`bertd ARGUMENTS`, for the daemon at tmp_path/bertd.sock unless --socket names another."""
    monkeypatch.setenv("BERTD_SOCKET", str(tmp_path / "bertd.sock"))
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["bertd", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, captured.out, captured.err)

    return call

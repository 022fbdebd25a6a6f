"""The tally over all faults, and its printing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.real_daemon import RealDaemonBox
from tests.faults.tally import Tally
from tests.tiny_data import make_tiny_dataset

_TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TALLY] = Tally()


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    """Counts over the whole session."""
    return pytestconfig.stash[_TALLY]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set to train on."""
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def real_box(tmp_path: Path) -> Iterator[RealDaemonBox]:
    """A daemon that answers, with nothing fake."""
    box = RealDaemonBox(tmp_path)
    box.start()
    yield box
    box.clean_up()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash.get(_TALLY, None)
    if tally is not None and (tally.injected or tally.stall):
        terminalreporter.section("faults")
        for line in tally.lines():
            terminalreporter.write_line(line)

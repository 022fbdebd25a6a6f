from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[DaemonBox]:
    """A daemon that is not started."""
    box = DaemonBox(tmp_path)
    yield box
    box.clean_up()


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonBox]:
    box = DaemonBox(tmp_path_factory.mktemp("shared"))
    box.start()
    yield box
    box.clean_up()


@pytest.fixture
def shared(_shared: DaemonBox) -> Iterator[DaemonBox]:
    """A daemon that the module's tests share, whose ranks hold at step 3; each leaves all its jobs ended."""
    _shared.plan(Plan(hold_at=3))
    yield _shared
    _shared.clear()


@pytest.fixture
def box(cold: DaemonBox) -> DaemonBox:
    """A daemon that answers."""
    cold.start()
    return cold

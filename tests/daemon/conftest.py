from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.daemon_box import DaemonBox


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[DaemonBox]:
    """A daemon that is not started."""
    box = DaemonBox(tmp_path)
    yield box
    box.clean_up()


@pytest.fixture
def box(cold: DaemonBox) -> DaemonBox:
    """A daemon that answers."""
    cold.start()
    return cold

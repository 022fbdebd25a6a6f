from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.runner_box import RunnerBox


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RunnerBox]:
    """A run folder for a runner, which is killed if it is alive after the test."""
    box = RunnerBox(tmp_path)
    yield box
    box.kill()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.api.in_process_api import InProcessApi


@pytest.fixture
def api(tmp_path: Path) -> Iterator[InProcessApi]:
    """The application over an empty queue."""
    api = InProcessApi(tmp_path)
    yield api
    api.close()

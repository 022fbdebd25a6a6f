"""A data set to train on, and the command line called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import bertd  # noqa: F401  the fixture
from tests.tiny_data import make_tiny_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `make_tiny_dataset`."""
    return make_tiny_dataset(tmp_path_factory.mktemp("data"))

"""A tiny data set, made once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tiny_data import make_tiny_dataset


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run takes as many threads as it has cores, and operations this small are slower on two."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))

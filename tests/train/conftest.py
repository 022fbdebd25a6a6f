"""A tiny data set, made once a session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tiny_data import make_tiny_dataset


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations this small are slower on two threads, and far slower where another process wants the core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_dataset(tmp_path_factory.mktemp("tiny"))

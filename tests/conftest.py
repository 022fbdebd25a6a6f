"""For all tests."""

import os

import pytest

# Before anything imports torch: its threads wait by spinning, which on tensors this small costs more than it gives.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def no_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that becomes another program would take the test run with it, and its exit status would be 0."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"this process would have become {arguments}")

    monkeypatch.setattr(os, "execv", refuse)

"""For all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# How long examples take says how busy the machine is. In CI the same examples are drawn each time.
settings.register_profile(
    "bertd",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize="CI" in os.environ,
)
settings.load_profile("bertd")

# Imported modules and collected tests are never freed: to search them for garbage is a quarter of a collection's time.
gc.disable()

# Before anything imports torch: its threads wait by spinning, which on tensors this small costs more than it gives.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What starts the suite may ignore signals (a shell's &, nohup) or block them, and the programs under test inherit both.
signal.pthread_sigmask(signal.SIG_SETMASK, [])
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in _SIGNALS[1:]:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # before those that the command leaves out are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test-long` finds its files by their text."""
    for path in {item.path for item in items if item.get_closest_marker("long")}:
        assert "mark.long" in path.read_text(), f"{path}: write the mark as pytest.mark.long, for `make test-long`"


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A program's main, called in a test, sets its own; the programs of later tests would inherit what it ignores."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def host_cpu() -> Iterator[None]:
    """A run sets up its whole process; hypothesis refuses to draw floats where denormals are flushed to zero."""
    yield
    if "bertd.train.backends.cpu_tuning" in sys.modules:
        from bertd.train.backends import cpu_tuning

        cpu_tuning.return_freed_pages()
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(autouse=True)
def patient_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gives a daemon up after seconds, which a busy machine may need; tests of that set their own."""
    for module, names in (
        ("bertd.api.http", ("TIMEOUT_S",)),
        ("bertd.api.sse", ("TIMEOUT_S", "STREAM_TIMEOUT_S")),
    ):
        for name in names if module in sys.modules else ():
            monkeypatch.setattr(sys.modules[module], name, PATIENCE_S)


_CHECKED_TOKENIZERS = set[str]()


@pytest.fixture(autouse=True)
def tokenizers_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each preparation has its tokenizer checked by a process that imports transformers; here the first of each does.

    One for which the check fails is checked again.
    """
    pipeline = sys.modules.get("bertd.data.prepare.pipeline")
    if pipeline is None:
        return
    check = pipeline.checking_stock_ids

    @contextmanager
    def check_once(tokenizer: Tokenizer, *, place: str) -> Iterator[None]:
        content = tokenizer.to_str()
        with nullcontext() if content in _CHECKED_TOKENIZERS else check(tokenizer, place=place):
            yield
        _CHECKED_TOKENIZERS.add(content)

    monkeypatch.setattr(pipeline, "checking_stock_ids", check_once)


@pytest.fixture(autouse=True)
def no_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that becomes another program would take the test run with it, and its exit status would be 0."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"this process would have become {arguments}")

    monkeypatch.setattr(os, "execv", refuse)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real corpora; skips where it is absent."""
    folder = Path(os.environ.get("BERTD_TEST_DATA") or Path.home() / ".cache" / "bertd-test-data")
    if not (folder / "books.jsonl").is_file():
        pytest.skip(f"no real corpora in {folder}; set BERTD_TEST_DATA")
    return folder

"""bertd.hub: whether the hub answers, when it does and when it does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bertd import hub
from bertd.hub import hub_unreachable_reason


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A fake hub."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield server


def test_a_hub_that_takes_the_connection_and_never_answers_is_given_up(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_TIMEOUT_S", 0.2)
    assert hub_unreachable_reason("some/set", kind="dataset") == "no answer in 0.2 s"


def test_a_hub_that_refuses_the_connection_is_told_in_one_line(listener: socket.socket) -> None:
    listener.close()
    reason = hub_unreachable_reason("some/set", kind="dataset")
    assert reason is not None and "refused" in reason and "\n" not in reason


def test_a_hub_that_knows_no_such_name_answers(listener: socket.socket) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    assert hub_unreachable_reason("some/set", kind="dataset") is None
    thread.join()


def test_asked_to_stay_offline_it_says_so(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub_unreachable_reason("some/set", kind="model") == "HF_HUB_OFFLINE is set"

"""A webhook gets a POST, and its answer decides whether another attempt makes sense."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertd.daemon.hooks.webhook import is_loopback, post_to_socket, post_to_url
from bertd.errors import DeliveryError
from tests.daemon.hooks.http_server import HookServer
from tests.waiting import PATIENCE_S


def test_a_url_gets_the_body_at_its_path_and_query() -> None:
    with HookServer(status=204) as server:
        url = f"http://127.0.0.1:{server.port}/a/b?c=d"
        said = post_to_url(url, b'{"text": "x"}', {"Bertd-Event": "failed"}, timeout_s=PATIENCE_S)
    assert said.startswith("answered 204 after ")
    assert (server.bodies, server.targets) == ([b'{"text": "x"}'], ["/a/b?c=d"])
    assert server.headers[0]["Bertd-Event"] == "failed"
    assert server.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "may_retry"), [(301, False), (400, False), (404, False), (408, True), (429, True), (500, True)]
)
def test_another_status_is_a_failure_and_no_redirect_is_followed(status: int, may_retry: bool, tmp_path: Path) -> None:
    with (
        HookServer(tmp_path / "s", status=status) as server,
        pytest.raises(DeliveryError, match=f"answered {status}") as failed,
    ):
        post_to_socket(str(server.path), b"{}", {}, timeout_s=PATIENCE_S)
    assert failed.value.may_retry is may_retry
    assert len(server.bodies) == 1


def test_nobody_who_listens_may_be_there_later(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=re.escape(f"{tmp_path}/none: No such file")) as failed:
        post_to_socket(str(tmp_path / "none"), b"{}", {}, timeout_s=PATIENCE_S)
    assert failed.value.may_retry


def test_a_server_that_sends_a_byte_now_and_then_cannot_hold_it(tmp_path: Path) -> None:
    with (
        HookServer(tmp_path / "s", trickles=True) as server,
        pytest.raises(DeliveryError, match=r"no answer within 0\.3 s") as failed,
    ):
        post_to_socket(str(server.path), b"{}", {}, timeout_s=0.3)
    assert failed.value.may_retry


def test_a_failure_does_not_name_the_path_which_may_be_a_secret() -> None:
    with HookServer(status=404) as server, pytest.raises(DeliveryError) as failed:
        post_to_url(f"http://127.0.0.1:{server.port}/kd83", b"{}", {}, timeout_s=PATIENCE_S)
    assert "kd83" not in str(failed.value)


def test_only_names_and_addresses_of_this_machine_are_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.0.1", "::1")))
    assert not any(map(is_loopback, ("localhost.example.org", "10.0.0.1", "0.0.0.0", "::", "example.org", "")))  # noqa: S104

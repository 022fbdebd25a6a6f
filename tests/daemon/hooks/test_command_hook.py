"""A program gets the event, says by its exit status whether it took it, and cannot outlive its time."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import psutil
import pytest

from bertd.daemon.hooks.command_hook import hook_environment, run_command
from bertd.daemon.hooks.hook_events import Delivery, HookEvent
from bertd.errors import DeliveryError
from tests.waiting import PATIENCE_S, still_alive

FAILED = Delivery(event=HookEvent.FAILED, event_id=31, run="7-demo", job="7", body=b'{"text": "x"}')


def run(*command: str, timeout_s: float = PATIENCE_S, is_cancelled: threading.Event | None = None) -> str:
    return run_command(command, FAILED, timeout_s=timeout_s, is_cancelled=is_cancelled or threading.Event())


def test_it_gets_the_event_and_a_small_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hidden")
    out = tmp_path / "out.json"
    code = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)], open(sys.argv[1], 'w'))"
    assert run(sys.executable, "-c", code, str(out)).startswith("exit status 0 after ")
    body, environment = json.loads(out.read_text())
    assert body == {"text": "x"}
    assert [environment[f"BERTD_{name}"] for name in ("EVENT", "RUN", "JOB")] == ["failed", "7-demo", "7"]
    assert "API_TOKEN" not in environment


def test_the_environment_has_the_session_bus_and_the_language_and_no_more() -> None:
    own = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "DBUS_SESSION_BUS_ADDRESS": "unix:x",
        "NOTIFY_SOCKET": "/n",
        "LD_PRELOAD": "y",
    }
    of_event = {"BERTD_EVENT": "failed", "BERTD_RUN": "7-demo", "BERTD_JOB": "7"}
    assert hook_environment(own, FAILED) == {
        **{"PATH": "/bin", "LC_ALL": "C", "DBUS_SESSION_BUS_ADDRESS": "unix:x"},
        **of_event,
    }
    assert hook_environment({}, FAILED) == {"PATH": "/usr/local/bin:/usr/bin:/bin", **of_event}


def test_a_failure_has_the_exit_status_and_the_last_line_of_a_long_output() -> None:
    script = "head -c 300000 /dev/zero | tr '\\0' 'x'; echo; printf 'no \\033[1mroute\\n' >&2; exit 3"
    with pytest.raises(DeliveryError, match=r"^/bin/sh: exit status 3: no .*route") as failed:
        run("/bin/sh", "-c", script)
    assert failed.value.may_retry and "\033" not in str(failed.value)


def test_a_program_that_is_not_there_is_not_attempted_again(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot be started: No such file") as failed:
        run(str(tmp_path / "none"))
    assert not failed.value.may_retry


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(DeliveryError, match=r"killed, because it took more than 0\.5 s") as failed:
        run("/bin/sh", "-c", f"sleep 1000 & echo $$ $! > {pids}; wait", timeout_s=0.5)
    assert failed.value.may_retry
    started = pids.read_text().split() if pids.exists() else []
    assert not still_alive(psutil.Process(int(pid)) for pid in started if psutil.pid_exists(int(pid)))


def test_a_child_that_keeps_the_output_open_does_not_keep_the_hook() -> None:
    assert run("/bin/sh", "-c", "sleep 1000 & exit 0").startswith("exit status 0")


def test_the_end_of_the_daemon_kills_it() -> None:
    ends = threading.Event()
    ends.set()
    with pytest.raises(DeliveryError, match="killed, because the daemon or this hook ends") as failed:
        run("/bin/sleep", "1000", is_cancelled=ends)
    assert not failed.value.may_retry

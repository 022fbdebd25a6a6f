"""The systemd units: valid without a warning, hardened, and consistent with the daemon."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bertd.daemon.service import SAVE_TIMEOUT_S
from bertd.errors import DaemonBusyError, DaemonError
from bertd.run.paths import default_socket
from tests.jobs.runner_box import ROOT
from tests.waiting import PATIENCE_S

UNITS = ROOT / "systemd"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def installed(unit: Path, folder: Path) -> Path:
    """A copy whose ExecStart exists here; the path of an installation does not."""
    text, count = re.subn(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.MULTILINE)
    assert count == (unit.suffix == ".service")
    copy = folder / unit.name
    copy.write_text(text)
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    # With a short path: other units of the machine have sockets in it, whose paths have at most 107 characters.
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        env = os.environ | {"XDG_RUNTIME_DIR": runtime}
        return subprocess.run(
            [ANALYZE, *arguments], capture_output=True, text=True, env=env, timeout=PATIENCE_S, check=False
        )


@needs_systemd
def test_the_system_units_verify_without_a_word(tmp_path: Path) -> None:
    units = [installed(UNITS / name, tmp_path) for name in ("bertd.service", "bertd.socket")]
    verdict = analyze("verify", "--man=no", *units)
    # It exits 0 for unknown keys and bad values too; only an empty output means valid.
    assert (verdict.returncode, verdict.stderr, verdict.stdout) == (0, "", "")


@needs_systemd
def test_the_user_unit_verifies_without_a_word(tmp_path: Path) -> None:
    unit = installed(UNITS / "user" / "bertd.service", tmp_path)
    verdict = analyze("verify", "--user", "--man=no", unit)
    assert (verdict.returncode, verdict.stderr, verdict.stdout) == (0, "", "")


@needs_systemd
def test_an_unknown_key_would_be_noticed(tmp_path: Path) -> None:
    unit = installed(UNITS / "user" / "bertd.service", tmp_path)
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdgSec="))
    assert "WatchdgSec" in analyze("verify", "--user", "--man=no", unit).stderr


@needs_systemd
def test_the_system_unit_is_exposed_no_more_than_it_must_be(tmp_path: Path) -> None:
    unit = installed(UNITS / "bertd.service", tmp_path)
    verdict = analyze("security", "--offline=true", "--threshold=15", unit)
    assert verdict.returncode == 0, verdict.stdout


def keys(unit: Path) -> dict[str, str]:
    lines = [line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_socket_unit_listens_where_clients_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("BERTD_SOCKET", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    listening = keys(UNITS / "bertd.socket")
    assert listening["ListenStream"] == str(default_socket())
    assert listening["SocketMode"] == "0660"


@pytest.mark.parametrize("unit", [UNITS / "bertd.service", UNITS / "user" / "bertd.service"])
def test_the_units_give_the_daemon_the_time_it_takes(unit: Path) -> None:
    service = keys(unit)
    assert service["Type"] == "notify"
    assert float(service["TimeoutStopSec"]) > SAVE_TIMEOUT_S
    assert service["KillMode"] == "process", "runners outlive the daemon"
    never = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert {DaemonError.exit_code, DaemonBusyError.exit_code} <= never

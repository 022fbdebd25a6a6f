"""`bertd doctor` as a whole: with the real torch, beside a daemon that is not there, and its order and status."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bertd.api.models import DiskQuotaView
from bertd.cli.commands.daemon.doctor import doctor
from bertd.cli.output.findings_text import findings_text
from bertd.cli.output.tables import OutputStyle
from bertd.doctor import daemon_checks, examine, torch_checks
from bertd.doctor.daemon_checks import check_daemon, check_linger
from bertd.errors import DaemonError
from bertd.records import AlertRecord, Finding, JobState, Severity
from bertd.train import check_torch

PLAIN = OutputStyle(width=60, has_color=False, has_unicode=True)


def test_torch_is_checked_in_a_process_of_its_own() -> None:
    findings = {each.check: each for each in torch_checks.check_torch(num_gpus=0)}
    assert findings["torch"].severity is Severity.OK and findings["compiler"].severity in (Severity.OK, Severity.SLOW)


@pytest.mark.parametrize(("num_gpus", "severity"), [(0, Severity.OK), (8, Severity.FAULT)])
def test_a_torch_without_cuda_is_a_fault_where_there_are_gpus(
    monkeypatch: pytest.MonkeyPatch, num_gpus: int, severity: Severity
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(check_torch, "find_compiler_fault", lambda _: "no g++")
    build, compiler = check_torch.check_torch(num_gpus=num_gpus)
    assert build.severity is severity and ("built without CUDA" in build.text) is bool(num_gpus)
    assert compiler.severity is Severity.SLOW and "no g++" in compiler.text


def test_a_torch_for_cuda_that_sees_no_gpu_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES=-1" in check_torch._judge_build(num_gpus=1, has_gpu=False).text
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old\nand more")

    monkeypatch.setattr(torch.cuda, "init", init)
    assert check_torch._judge_build(num_gpus=1, has_gpu=False).text.endswith("is too old")


def test_memory_that_cannot_be_pinned_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, pin_memory: bool, **__: object) -> None:
        assert pin_memory
        raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch, "empty", refuse)
    (finding,) = check_torch._check_pinned_memory()
    assert (finding.check, finding.severity) == ("pinned memory", Severity.FAULT)
    assert finding.text == "64.0 MiB of memory cannot be pinned: CUDA error: out of memory"
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    assert not list(check_torch._check_pinned_memory())


@pytest.mark.parametrize("program", ["bertd.no_such_module", "sys"])
def test_a_torch_that_cannot_be_imported_is_a_fault(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(torch_checks, "_PROGRAM", program)
    (finding,) = torch_checks.check_torch(num_gpus=0)
    assert finding.severity is Severity.FAULT and finding.text


def test_a_torch_that_hangs_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1.0)

    monkeypatch.setattr(subprocess, "run", hang)
    (finding,) = torch_checks.check_torch(num_gpus=0)
    assert finding.severity is Severity.FAULT and "did not answer" in finding.text


def test_the_daemon_and_the_alerts_of_its_live_runs_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (absent,) = check_daemon(tmp_path / "none.sock")
    assert absent.severity is Severity.NOTE and "bertd start" in absent.text
    alerts = [
        AlertRecord(t=0.0, step=1, level=level, code="c", message=f"{level} of {name}")
        for level, name in (("warning", "a"), ("error", "b"), ("error", "c"))
    ]
    states = (JobState.RUNNING, JobState.PAUSED, JobState.DONE)
    runs = [
        SimpleNamespace(id=f"{index}-run", alert=alert, state=state)
        for index, (alert, state) in enumerate(zip(alerts, states, strict=True))
    ]
    disk: DiskQuotaView | None = DiskQuotaView(t=0.0, used_bytes=9 << 30, quota_bytes=10 << 30)
    client = SimpleNamespace(
        version=lambda: SimpleNamespace(bertd="0.0.1"),
        runs=lambda: runs,
        status=lambda: SimpleNamespace(disk_quota=disk),
    )
    monkeypatch.setattr(daemon_checks, "Client", lambda *_, **__: client)
    findings = list(check_daemon(tmp_path))
    assert [each.severity for each in findings] == [Severity.NOTE, Severity.NOTE, Severity.NOTE, Severity.FAULT]
    assert "0.0.1" in findings[0].text and findings[3].text == "error of b"
    assert findings[1].text == "9.0 GiB of quotas.disk_in_all = 10.0 GiB used"
    disk = DiskQuotaView(t=0.0, used_bytes=10 << 30, quota_bytes=10 << 30)
    assert [each.severity for each in check_daemon(tmp_path) if each.check == "disk quota"] == [Severity.FAULT]
    disk = None
    assert not [each for each in check_daemon(tmp_path) if each.check == "disk quota"]

    def refuse() -> None:
        raise DaemonError("the queue is damaged")

    client.runs = refuse
    assert [each.text for each in check_daemon(tmp_path)][1:] == ["the queue is damaged"]


def test_a_users_unit_without_linger_is_a_fault(tmp_path: Path) -> None:
    assert not list(check_linger(tmp_path, home=tmp_path, user="ada"))
    unit = tmp_path / ".config/systemd/user/bertd.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    (finding,) = check_linger(tmp_path, home=tmp_path, user="ada")
    assert finding.severity is Severity.FAULT and finding.remedy == "loginctl enable-linger"
    (tmp_path / "var/lib/systemd/linger").mkdir(parents=True)
    (tmp_path / "var/lib/systemd/linger/ada").touch()
    assert not list(check_linger(tmp_path, home=tmp_path, user="ada"))


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that find one thing each; the storage's cannot be made."""

    def refuse(_: Path) -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/state")

    def found(severity: Severity, check: str) -> list[Finding]:
        return [Finding(check=check, severity=severity, text=f"text of {check}", remedy="do this", cost="time")]

    monkeypatch.setattr(examine, "check_machine", lambda **_: found(Severity.OK, "machine"))
    monkeypatch.setattr(examine, "check_gpus", lambda *_, **__: found(Severity.SLOW, "GPUs"))
    monkeypatch.setattr(examine, "check_torch", lambda **_: found(Severity.FAULT, "torch"))
    monkeypatch.setattr(examine, "check_storage", refuse)
    monkeypatch.setattr(examine, "check_daemon", lambda _: found(Severity.NOTE, "daemon"))
    monkeypatch.setattr(examine, "check_linger", list)


def test_the_worst_comes_first_and_a_fault_is_the_exit_status(
    stand_ins: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        doctor(state_dir=tmp_path, socket=tmp_path / "s", json=True)
    answer = json.loads(capsys.readouterr().out)
    assert [each["check"] for each in answer] == ["torch", "GPUs", "storage", "daemon", "machine"]
    assert "Permission denied" in answer[2]["text"]


def test_the_text_says_what_it_costs_and_what_to_do_within_the_width() -> None:
    long = Finding(check="a", severity=Severity.SLOW, text="word " * 40, remedy="do it", cost="an hour")
    hostile = Finding(check="b", severity=Severity.NOTE, text="\x1b[2J")
    lines = findings_text([long, hostile], style=PLAIN).splitlines()
    assert max(map(len, lines)) <= 60 and lines[0].startswith("slow   a: word")
    assert "       costs: an hour" in lines and "       do: do it" in lines
    assert "\x1b" not in "".join(lines) and lines[-1] == "0 faults, 1 slow, 1 note, 0 as they should be"

"""`bertd service`: what it prints, and where there is no systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Bertd


def test_a_dry_run_prints_the_steps_and_does_nothing(
    bertd: Bertd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    said = bertd("service", "install", "--user", "--dry-run")
    assert said.code == 0, said.err
    assert f"write {tmp_path}/.config/systemd/user/bertd.service" in said.out
    assert "systemctl --user enable --now bertd.service" in said.out
    assert [*tmp_path.iterdir()] == []
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = bertd("service", "install", "--user")
    assert refused.code == 78 and "there is no systemd here" in refused.err

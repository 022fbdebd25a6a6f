"""docs/first-day.md, executed: its Python and its commands in their order, with a shorter budget."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.command_lines import ROOT

PAGE = (ROOT / "docs" / "first-day.md").read_text(encoding="utf-8")
SUBSTITUTIONS = {"--budget 5min": "--budget 30steps"}
"""All that differs from the page."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_each_substitution_is_of_something_on_the_page() -> None:
    assert all(PAGE.count(before) == 1 for before in SUBSTITUTIONS)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_commands_of_the_page_lead_to_a_finetuned_model(tmp_path: Path) -> None:
    (python,) = blocks("python")
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True)
    assert len((tmp_path / "train.csv").read_text().splitlines()) > 100
    script = "set -e\nset -x\n" + "".join(blocks("sh"))
    for before, after in SUBSTITUTIONS.items():
        script = script.replace(before, after)
    # In place of an installed program, so that the page is of this code.
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "bertd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bertd "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "BERTD_STATE": str(tmp_path / "state"),
        "BERTD_SOCKET": str(tmp_path / "d.sock"),
        "BERTD_DATA": str(tmp_path / "data"),
    }
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    try:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    finally:
        subprocess.run([program, "shutdown"], cwd=tmp_path, env=environment, capture_output=True)
    for made in ("first.html", "first.csv", "encoder/config.json", "data/mine/manifest.json"):
        assert (tmp_path / made).is_file(), made
    assert re.search(r"passes|epochs", done.stdout)
    assert "accuracy" in done.stdout

"""Machines that the recipe names join over a real sshd, here one on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertd.records import EndRecord, StartRecord
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths
from tests.clusters.tiny_recipe import TINY
from tests.jobs.runner_box import ROOT, with_tests_on_path
from tests.ssh_server import SshServer
from tests.train.distributed.nodes.namespaces import tail
from tests.train.distributed.nodes.test_meeting import free_port
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.long


def test_a_named_machine_joins_each_attempt_and_leaves_with_it(tmp_path: Path, dataset: Path) -> None:
    recipe, paths = tmp_path / "tiny.toml", RunPaths(tmp_path / "run")
    recipe.write_text(TINY.format(budget="steps = 5", shards=dataset))
    with SshServer(tmp_path / "box") as box:
        with (box.folder / "sshd_config").open("a") as config:
            config.write(f"SetEnv PYTHONPATH={ROOT}\n")
        box.stop()
        box.start()
        settings = ["devices.nodes=2", 'devices.hosts=["box"]', f"devices.port={free_port()}"]
        options = [word for setting in settings for word in ("--set", setting)]
        done = subprocess.run(
            [sys.executable, "-m", "bertd", "train", str(recipe), "--folder", str(paths.root), *options],
            env=with_tests_on_path() | {"PATH": f"{box.bin}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr + tail([paths.log])
    records = read_journal(paths.journal)
    assert [record.world_size for record in records if isinstance(record, StartRecord)] == [2]
    assert any(isinstance(record, EndRecord) and record.step == 5 for record in records)
    assert "has joined" in paths.log.read_text()

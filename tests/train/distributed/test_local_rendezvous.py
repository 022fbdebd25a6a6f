from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from bertd.train.distributed.local_rendezvous import (
    RENDEZVOUS_BACKEND,
    InheritedOutput,
    LocalRendezvous,
    rank_store_in_memory,
    register_local_rendezvous,
)
from tests.faults.disks import fill, small_disk

MEETS = """
import os, sys
import torch.distributed as dist
rank = int(os.environ["RANK"])
store = dist.FileStore(sys.argv[1], 2)
store.set(str(rank), b"here")
assert store.get(str(1 - rank)) == b"here"
open(os.path.join(sys.argv[2], f"met-{rank}"), "w").close()
"""


def launch(store: str, out: Path) -> None:
    register_local_rendezvous()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="a run",
        rdzv_backend=RENDEZVOUS_BACKEND,
        max_restarts=0,
        logs_specs=InheritedOutput(),
    )
    elastic_launch(config, sys.executable)("-c", MEETS, store, str(out))


def test_ranks_meet_where_no_file_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", size_bytes=1 << 20) as root, rank_store_in_memory() as store:
        fill(root)
        monkeypatch.setenv("TMPDIR", str(root))
        monkeypatch.chdir(root)
        launch(store, tmp_path)
    assert (tmp_path / "met-0").exists() and (tmp_path / "met-1").exists()


def test_a_launch_opens_no_file_and_listens_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = psutil.Process()
    sockets, files = len(program.net_connections("inet")), {file.path for file in program.open_files()}
    seen: list[tuple[int, set[str]]] = []

    def look(_: LocalRendezvous) -> int:
        seen.append((len(program.net_connections("inet")), {file.path for file in program.open_files()}))
        return 0

    # torch asks for it after each look at the ranks.
    monkeypatch.setattr(LocalRendezvous, "num_nodes_waiting", look)
    with rank_store_in_memory() as store:
        launch(store, tmp_path)
    assert seen and all((count, paths) == (sockets, files) for count, paths in seen)


def test_the_store_of_the_ranks_is_freed_with_its_launcher() -> None:
    program = (
        "from bertd.train.distributed.local_rendezvous import rank_store_in_memory as store\n"
        "with store() as path: print(path)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()

"""Trackers' libraries, which are not in the suite's environment: `make install` puts them into a folder apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("BERTD_TRACKERS", Path(sys.prefix) / "apart" / "trackers"))
"""Where `make test` installs them, apart: torch and transformers import some of them where they find them."""


def environment(**variables: str) -> dict[str, str]:
    """With the libraries on the path, and none of the trackers' own variables."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith(("WANDB", "MLFLOW", "TRACKIO"))}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), str(FOLDER)]), **variables}


def require_library(name: str) -> None:
    """Skip the test where the library is not installed."""
    if not (FOLDER / name).is_dir():
        pytest.skip(f"{name} is not in {FOLDER}: `make test` installs it there where there is a network")


def run_python(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python with the libraries."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def read_with(code: str, *arguments: str, cwd: Path) -> str:
    """What code that uses a library prints."""
    done = run_python("-c", code, *arguments, cwd=cwd, MLFLOW_ALLOW_FILE_STORE="true")
    assert done.returncode == 0, done.stderr
    return done.stdout


READ_TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
points = {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
texts = [tag for tag in events.Tags()["tensors"]]
print(json.dumps([points, texts]))
"""
READ_WANDB = """
import json, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record

def records(content):
    # LevelDB's log: blocks of 32 KiB with pieces of records, each with checksum, length and kind: 1 and 4 end one.
    place, parts = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""

rows = []
for file in sorted(Path(sys.argv[1]).rglob("*.wandb")):
    for data in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
print(json.dumps(rows))
"""
READ_MLFLOW = """
import json, sys
from pathlib import Path
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri=Path(sys.argv[1]).absolute().as_uri())
[run] = client.search_runs([client.get_experiment_by_name("bertd").experiment_id])
def history(name):
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]

points = {name: history(name) for name in run.data.metrics}
print(json.dumps([run.info.run_name, run.info.status, run.data.params, points]))
"""
READ_TRACKIO = """
import json, os, sys
os.environ["TRACKIO_DIR"] = sys.argv[1]
import trackio
from trackio.sqlite_storage import SQLiteStorage
[run] = trackio.Api().runs("bertd")
print(json.dumps([run.name, run.config["optimizer"], SQLiteStorage.get_logs("bertd", run.name)]))
"""

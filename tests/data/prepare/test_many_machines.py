"""A data set that several machines make has the bytes of one that one process makes: arrays of Slurm, and Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import bertd
from bertd.data.commands.prepare import main
from bertd.data.dataset.shards import DataSet
from bertd.data.prepare.parts.task_planner import TaskPlanner
from bertd.data.prepare.parts.worker_pool import ArrayTask
from bertd.data.prepare.pipeline import PrepareOptions, prepare, prepare_share
from bertd.errors import CorpusError, ShardError
from bertd.run.dataset_manifest import Filters, read_manifest
from tests.data.conftest import made_up_text
from tests.waiting import PATIENCE_S, wait_for

RAY_FOLDER = Path(os.environ.get("BERTD_RAY", Path(sys.prefix) / "apart" / "ray"))
"""Where `make test` installs Ray, apart: transformers imports it where it finds it."""
ROOT = Path(bertd.__file__).parents[1]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 MB of text in JSON lines, compressed and not: several parts."""
    folder = tmp_path_factory.mktemp("many")
    texts = [made_up_text(number, sentences=60) for number in range(150)]
    for number in range(8):
        lines = [json.dumps({"text": f"{number} {place} {texts[place % 150]}"}) for place in range(500)]
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def options(vocab: Path) -> PrepareOptions:
    return PrepareOptions(vocab=str(vocab), validation_share=0.05)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, many: Path, options: PrepareOptions) -> Path:
    """What one process makes."""
    out = tmp_path_factory.mktemp("alone") / "set"
    prepare([str(many)], out=out, options=options, processes=1)
    return out


def assert_same(out: Path, alone: Path) -> None:
    assert read_manifest(out).files == read_manifest(alone).files
    assert DataSet.open(out, verify=True).fingerprint == DataSet.open(alone).fingerprint


# ---- Shares of an array ----------------------------------------------------------------------------


def test_tasks_of_an_array_and_a_merge_make_the_same_bytes(
    tmp_path: Path, many: Path, options: PrepareOptions, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "set"
    made = [
        prepare_share([str(many)], out=out, options=options, share=ArrayTask(number, 3), processes=1)
        for number in (2, 0, 1)
    ]
    assert min(made) >= 1 and max(made) - min(made) <= 1
    # A task that runs again makes nothing again.
    assert prepare_share([str(many)], out=out, options=options, share=ArrayTask(1, 3), processes=1) == 0
    monkeypatch.setattr(TaskPlanner, "_plan_tasks", lambda *_: iter(()))
    prepare([str(many)], out=out, options=options, processes=1)
    assert_same(out, alone)


def test_a_merge_makes_the_parts_that_a_lost_task_left(
    tmp_path: Path, many: Path, options: PrepareOptions, alone: Path
) -> None:
    out = tmp_path / "set"
    prepare_share([str(many)], out=out, options=options, share=ArrayTask(0, 2), processes=1)
    prepare([str(many)], out=out, options=options, processes=1)
    assert_same(out, alone)


def test_tasks_of_two_plans_do_not_mix(tmp_path: Path, many: Path, options: PrepareOptions) -> None:
    out = tmp_path / "set"
    prepare_share([str(many / "0.jsonl")], out=out, options=options, share=ArrayTask(0, 2), processes=1)
    other = options.model_copy(update={"language": "de"})
    with pytest.raises(ShardError, match="an attempt with other sources or options is here"):
        prepare_share([str(many / "0.jsonl")], out=out, options=other, share=ArrayTask(0, 2), processes=1)
    few = options.model_copy(update={"filters": Filters(max_documents=5)})
    with pytest.raises(CorpusError, match="--max-documents: only one process"):
        prepare_share([str(many / "0.jsonl")], out=out, options=few, share=ArrayTask(0, 2), processes=1)


_SBATCH = """#!/bin/sh
# Runs at once what it is given, in the order of the array; as sbatch, it prints a number.
array=""
for word in "$@"; do
    case "$word" in
        --array=0-*) array=${word#--array=0-} ;;
        --dependency=afterok:7) ;;
        --dependency=*) echo "sbatch: error: Job dependency problem" >&2; exit 1 ;;
    esac
    last=$word
done
echo "$@" >> "$SBATCH_LOG"
for number in $(seq 0 "${array:-0}"); do
    SLURM_ARRAY_TASK_ID=$number sh -c "$last" >> "$SBATCH_LOG" 2>&1 || exit 1
done
echo "7;cluster"
"""


def test_the_script_for_slurm_makes_the_same_bytes(
    tmp_path: Path,
    many: Path,
    vocab: Path,
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bin").mkdir()
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(_SBATCH)
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sbatch.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SBATCH_LOG", str(tmp_path / "log"))
    monkeypatch.chdir(many)
    out = tmp_path / "a set"
    command = [".", "--vocab", str(vocab), "--out", str(out), "--validation=0.05", "--on", "slurm", "--tasks", "2"]

    assert main([*command, "--sbatch=--partition=cpu", "--processes=1"]) == 0
    script = capsys.readouterr().out
    assert script.count("sbatch") >= 2 and "--array=0-1" in script and "--partition=cpu" in script
    assert main([*command, "--processes=1", "--submit"]) == 0
    assert capsys.readouterr().out.strip() == "7;cluster", (tmp_path / "log").read_text()
    assert_same(out, alone)
    assert "task 1 of 2 made" in (tmp_path / "log").read_text()


def test_slurm_that_refuses_says_why(
    tmp_path: Path, many: Path, vocab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = [str(many), "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--on", "slurm"]
    assert main([*command, "--submit"]) != 0
    assert "Slurm refused: sbatch: error: invalid partition specified: x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--submit"], "--submit: is for --on slurm"),
        (["--on", "slurm", "--max-documents", "5"], "cannot be shared among the tasks"),
        (["--on", "slurm", "--array-task", "0/2"], "is for the tasks of --on slurm"),
        (["--on", "ray", "--queue"], "--queue: is for this machine"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path, many: Path, vocab: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(many), "--vocab", str(vocab), "--out", str(tmp_path / "set"), *arguments]) != 0
    assert message in capsys.readouterr().err


# ---- Ray -------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{RAY_FOLDER}", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class Cluster:
    """Addresses of the head."""

    head: str
    client: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes on this machine, with one processor each."""
    if not (RAY_FOLDER / "ray").is_dir() or not (RAY_FOLDER / "grpc").is_dir():
        pytest.skip(f"Ray is not installed in {RAY_FOLDER}; make test installs it")
    head, client = free_port(), free_port()
    # Short: the sockets in it have at most 107 bytes.
    folder = Path(f"/tmp/bertd-ray-{os.getpid()}")
    common = ["--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats", "--block"]
    program = [sys.executable, "-m", "ray.scripts.scripts", "start"]
    starts = [
        [
            *("--head", f"--port={head}", f"--ray-client-server-port={client}", "--include-dashboard=false"),
            *(f"--temp-dir={folder}", f"--runtime-env-agent-port={free_port()}", "--node-ip-address=127.0.0.1"),
        ],
        [f"--address=127.0.0.1:{head}", f"--runtime-env-agent-port={free_port()}"],
    ]
    nodes = []
    try:
        for start in starts:
            nodes.append(
                subprocess.Popen(
                    [*program, *start, *common],
                    env=environment(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            wait_for_port(client if len(nodes) == 1 else head, nodes[-1])
        yield Cluster(head=f"127.0.0.1:{head}", client=f"ray://127.0.0.1:{client}")
    finally:
        for node in reversed(nodes):
            os.killpg(node.pid, signal.SIGTERM)
        for node in nodes:
            try:
                node.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_port(port: int, node: subprocess.Popen[bytes]) -> None:
    def is_open() -> bool:
        if node.poll() is not None:
            pytest.skip(f"a Ray node does not start on this machine: exit status {node.returncode}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(is_open, what="a Ray node")


def run_prepare(arguments: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bertd.data.commands.prepare", *arguments]
    env = {**environment(), **more}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("is_client", [False, True])
def test_a_ray_cluster_of_two_nodes_makes_the_same_bytes(
    tmp_path: Path, many: Path, vocab: Path, alone: Path, cluster: Cluster, is_client: bool
) -> None:
    out = tmp_path / "set"
    arguments = [str(many), "--vocab", str(vocab), "--out", str(out), "--validation=0.05", "--workers=2"]
    address = cluster.client if is_client else "ray"
    done = run_prepare([*arguments, "--on", address], RAY_ADDRESS=cluster.head)
    if is_client and "Initialization failure from server" in done.stderr:
        pytest.skip("Ray's server for clients, which waits 30 s for its own process, did not start in time")
    assert done.returncode == 0, done.stderr
    assert_same(out, alone)


def test_a_cluster_that_is_not_there_is_an_error(tmp_path: Path, many: Path, vocab: Path) -> None:
    if not (RAY_FOLDER / "grpc").is_dir():
        pytest.skip(f"Ray is not installed in {RAY_FOLDER}; make test installs it")
    address = f"ray://127.0.0.1:{free_port()}"
    done = run_prepare([str(many), "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--on", address])
    assert (
        done.returncode != 0
        and f"--on {address}: the Ray cluster does not answer" in done.stderr
        and "Traceback" not in done.stderr
    )

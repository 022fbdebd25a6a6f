"""Compare a run on two machines with the same run on one: two network namespaces with a core each, and a cable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bertd.bench.scale.figures import ScaleFigure
from bertd.bench.scale.small_corpus import make_small_dataset
from bertd.errors import BertdError
from bertd.records import StepRecord
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import find_recipe, format_recipe, read_recipe

MIN_SHARE = 0.9
_ROUNDS = 3
"""An odd number, for the median."""
_TIMEOUT_S = 900.0
_PORT = 29_417
_FIRST, _SECOND = "10.78.0.1", "10.78.0.2"
_KEYS = (
    "run.name=machines",
    "budget.steps=16",
    "model.layers=2",
    "model.width=128",
    "model.heads=4",
    "model.ffn=512",
    "batch.sequences=64",
    "batch.micro=16",
    "batch.ramp=[]",
    "validation.max_sequences=16",
    "precision.kernels=eager",
    "stop.rules=[]",
    "devices.kind=cpu",
    f"devices.port={_PORT}",
)
_ONE, _TWO = ("devices.count=2",), ("devices.count=1", "devices.nodes=2")


def measure_machines() -> list[ScaleFigure]:
    """Sequences per second on two machines, as a share of those on one with as many cores; nothing without root."""
    if why := _missing():
        print(f"machines: left out: {why}", file=sys.stderr, flush=True)
        return []
    one, two = [], []
    with tempfile.TemporaryDirectory(prefix="bertd-scale-") as name, _two_namespaces() as (first, second):
        folder = Path(name)
        shards = make_small_dataset(folder)
        # In turns, so that other load on the machine meets both.
        for number in range(_ROUNDS):
            one.append(_speed(folder / f"one-{number}", shards, _ONE, [first]))
            two.append(_speed(folder / f"two-{number}", shards, _TWO, [first, second]))
    share = median(pair[1] / pair[0] for pair in zip(one, two, strict=True))
    return [
        ScaleFigure("two ranks on one machine", median(one), "sequences/s"),
        ScaleFigure("a rank on each of two machines (namespaces)", median(two), "sequences/s"),
        ScaleFigure("two machines against one, share of the throughput", share, "", MIN_SHARE, "at least"),
    ]


def _missing() -> str:
    if os.geteuid() != 0:
        return "network namespaces need root"
    if len(os.sched_getaffinity(0)) < 2:
        return "it needs two cores"
    absent = [name for name in ("ip", "taskset") if shutil.which(name) is None]
    return f"no {', '.join(absent)}; install iproute2 and util-linux" if absent else ""


def _speed(folder: Path, shards: Path, keys: tuple[str, ...], namespaces: list[str]) -> float:
    """Sequences per second of a run, between its first and last record of a step.

    Raises:
        BertdError: the run failed.
    """
    paths = RunPaths(folder)
    paths.logs.mkdir(parents=True)
    paths.control.mkdir()
    recipe = read_recipe(find_recipe("fast"), overrides=[f"data.shards={shards}", *_KEYS, *keys])
    atomic_write(paths.recipe, format_recipe(recipe))
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))[:2]]
    train = [sys.executable, "-m", "bertd.jobs.runner", str(folder), "pretrain"]
    join = [sys.executable, "-m", "bertd", "join", f"{_FIRST}:{_PORT}", "--wait", "10min"]
    with paths.log.open("wb") as log, ExitStack() as stack:
        if len(namespaces) == 1:
            pinned = [(train, ",".join(cores), namespaces[0])]
        else:
            pinned = [(train, cores[0], namespaces[0]), (join, cores[1], namespaces[1])]
        children = []
        for command, cpus, namespace in pinned:
            child = subprocess.Popen(
                ["ip", "netns", "exec", namespace, "taskset", "--cpu-list", cpus, *command], stdout=log, stderr=log
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
            children.append(child)
        try:
            statuses = [child.wait(_TIMEOUT_S) for child in children]
        except subprocess.TimeoutExpired:
            statuses = [1]
    steps = [record for record in read_journal(paths.journal) if isinstance(record, StepRecord)]
    if any(statuses) or len(steps) < 2:
        raise BertdError(f"{folder.name}: the run failed: {paths.log.read_text(errors='replace')[-1000:].strip()}")
    return (steps[-1].sequences - steps[0].sequences) / (steps[-1].t - steps[0].t)


@contextmanager
def _two_namespaces() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them."""
    names = tuple(f"bertd-scale-{os.getpid()}-{number}" for number in (1, 2))
    with ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "delete", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1])
        for name, address in zip(names, (_FIRST, _SECOND), strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
        yield names[0], names[1]


def _ip(*arguments: str) -> None:
    """Call ip.

    Raises:
        BertdError: it refuses.
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BertdError(f"ip {' '.join(arguments)}: {done.stderr.strip()}; the kernel must allow network namespaces")

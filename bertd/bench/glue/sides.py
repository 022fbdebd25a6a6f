"""The two sides as processes, on the same cores or each on its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bertd.bench.glue.side_protocol import Answer, Order
from bertd.errors import BertdError

OURS, STOCK = "bertd.bench.glue.ours", "bertd.bench.glue.stock"


class Side:
    """One running side."""

    def __init__(self, module: str, process: subprocess.Popen[str]) -> None:
        self._module = module
        self._process = process

    def carry_out(self, order: Order) -> Answer:
        """Have it do one finetuning, and wait.

        Raises:
            BertdError: it failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(order.model_dump_json() + "\n")
        self._process.stdin.flush()
        return Answer.model_validate_json(self._read_line())

    def wait_until_ready(self) -> None:
        """Wait until its libraries are loaded.

        Raises:
            BertdError: it failed.
        """
        self._read_line()

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BertdError(f"{self._module}: ended with status {self._process.wait()}; its last output is above")
        return line


def share_cores(num_cores: int) -> dict[str, list[int]]:
    """The same cores for both sides, which take turns."""
    cores = sorted(os.sched_getaffinity(0))[:num_cores]
    return {OURS: cores, STOCK: cores}


def split_cores(num_cores: int) -> dict[str, list[int]]:
    """As many cores for each side, which run at once; the same ones where the machine has too few."""
    cores = sorted(os.sched_getaffinity(0))
    others = cores[num_cores : 2 * num_cores]
    return {OURS: cores[:num_cores], STOCK: others if len(others) == num_cores else cores[:num_cores]}


@contextmanager
def start_sides(*, accelerate: Path, cores: Mapping[str, Sequence[int]]) -> Iterator[dict[str, Side]]:
    """Start both, by their modules, with a thread for each of their cores.

    Args:
        accelerate: the folder with the package that transformers.Trainer needs, which only the stock side sees.
        cores: by module.
    """
    processes: list[subprocess.Popen[str]] = []
    sides: dict[str, Side] = {}
    try:
        for module, own in cores.items():
            threads = {"OMP_NUM_THREADS": str(len(own)), "RAYON_NUM_THREADS": str(len(own))}
            path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(accelerate)]))
            process = subprocess.Popen(
                ["taskset", "--cpu-list", ",".join(map(str, own)), sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ
                | {"TOKENIZERS_PARALLELISM": "0"}
                | threads
                | ({"PYTHONPATH": path} if module == STOCK else {}),
            )
            processes.append(process)
            sides[module] = Side(module, process)
        for side in sides.values():
            side.wait_until_ready()
        yield sides
    finally:
        for process in processes:
            process.terminate()
            process.wait()

"""The two sides as processes on the same cores."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
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


@contextmanager
def start_sides(*, accelerate: Path, num_cores: int) -> Iterator[dict[str, Side]]:
    """Start both, by their modules, on the same cores with a thread for each.

    Args:
        accelerate: the folder with the package that transformers.Trainer needs, which only the stock side sees.
        num_cores: how many.
    """
    cores = sorted(os.sched_getaffinity(0))[:num_cores]
    threads = {"OMP_NUM_THREADS": str(len(cores)), "RAYON_NUM_THREADS": str(len(cores)), "TOKENIZERS_PARALLELISM": "0"}
    processes: list[subprocess.Popen[str]] = []
    sides: dict[str, Side] = {}
    try:
        for module in (OURS, STOCK):
            path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(accelerate)]))
            process = subprocess.Popen(
                ["taskset", "--cpu-list", ",".join(map(str, cores)), sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | threads | ({"PYTHONPATH": path} if module == STOCK else {}),
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

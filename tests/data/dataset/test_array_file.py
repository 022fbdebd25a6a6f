"""An array file is closed with its last reference, and an open one causes no error at the interpreter's exit."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np

from bertd.data.dataset.array_file import ArrayFile
from tests.waiting import PATIENCE_S


def num_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_file_is_closed_when_nobody_has_it_any_more(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(16))
    # What earlier tests left in cycles must not be closed meanwhile.
    gc.collect()
    before = num_open()
    file = ArrayFile(path, dtype=np.dtype("<i8"))
    assert num_open() == before + 1

    del file
    gc.collect()

    assert num_open() == before


def test_a_file_that_is_open_at_the_interpreters_exit_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(16))
    # Modules are taken down in reverse order: numpy, which has the file, after that of the class.
    program = f"""
from pathlib import Path
import numpy as np
import bertd.data.dataset.array_file as module
np.kept = module, module.ArrayFile(Path({str(path)!r}), dtype=np.dtype("<i8"))
"""

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )

    assert done.stderr == ""

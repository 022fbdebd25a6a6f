from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from bertd.data.dataset.array_file import ArrayFile
from bertd.errors import ShardError
from bertd.run.dataset_manifest import read_manifest
from bertd.run.machine.os_errors import remedy_for


def test_a_reason_about_the_machine_has_its_own_remedy_and_one_about_the_file_that_of_the_caller() -> None:
    for number, words in ((errno.EMFILE, "ulimit -n"), (errno.EACCES, "permissions"), (errno.ENOMEM, "memory")):
        assert words in remedy_for(OSError(number, os.strerror(number)), otherwise="make it")
    assert remedy_for(OSError(errno.ENOENT, "No such file"), otherwise="make it") == "make it"


def test_too_many_open_files_are_no_reason_to_prepare_a_data_set_again(tmp_path: Path) -> None:
    for name in ("manifest.json", "tokens.bin"):
        (tmp_path / name).write_bytes(b"{}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    messages, dtype = [], np.dtype("<u2")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        for call in (
            lambda: read_manifest(tmp_path),
            lambda: ArrayFile(tmp_path / "tokens.bin", dtype=dtype),
        ):
            with pytest.raises(ShardError) as caught:
                call()
            messages.append(str(caught.value))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for message in messages:
        assert message.endswith("Too many open files; raise the limit on open files (ulimit -n)")

"""bertd.daemon.api.job_log: a log that was removed is not shown as an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.api.job_log import read_log_page, require_log
from bertd.errors import RunFolderError
from bertd.run.paths import JobPaths


def test_a_removed_log_is_said_and_one_that_is_not_begun_is_empty(tmp_path: Path) -> None:
    paths = JobPaths(tmp_path)
    require_log(paths)
    assert read_log_page(paths.log, offset=0, limit=10).size == 0
    paths.logs.mkdir()
    paths.log.write_text("step 1\n")
    paths.runner.write_text("{}")
    require_log(paths)
    paths.log.unlink()
    with pytest.raises(RunFolderError, match="was removed; a running job writes a new one only after it is paused"):
        require_log(paths)

"""All descendants of a process are found and killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE_S

SCRIPT = """
import os, subprocess, sys
from bertd.demo import process_cleanup
process_cleanup.adopt_orphans()
# As a daemon does: a child in its own session starts a grandchild and exits.
grandchild = "import sys; print('up', flush=True); sys.stdin.read()"
child = ("import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)")
reader, writer = os.pipe()
held, hold = os.pipe()
subprocess.run([sys.executable, "-c", child, grandchild], stdin=held, stdout=writer, start_new_session=True)
os.close(writer)
assert os.read(reader, 2) == b"up"
assert len(process_cleanup.running()) == 1
assert process_cleanup.kill_descendants() == 1
assert process_cleanup.running() == []
assert process_cleanup.kill_descendants() == 0
print("clean")
"""


def test_an_orphan_in_a_session_of_its_own_is_found_and_ended(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.stdout, done.returncode) == ("clean\n", 0), done.stderr

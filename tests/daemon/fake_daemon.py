"""The real daemon over runners with fake compute: `python -m tests.daemon.fake_daemon STATE SOCKET PLAN.json [--keep]`.

SOCKET may be `-` for the default.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.daemon.service import serve
from bertd.errors import BertdError
from bertd.records import JobKind

STATE, SOCKET, PLAN = sys.argv[1:4]


def runner(folder: Path, kind: JobKind) -> list[str]:
    """The real runner over fakes."""
    return [sys.executable, "-m", "tests.jobs.fake_runner", PLAN, str(folder), kind]


if __name__ == "__main__":
    try:
        socket = None if SOCKET == "-" else Path(SOCKET)
        sys.exit(serve(state_dir=Path(STATE), socket=socket, keep_running_on_stop="--keep" in sys.argv, runner=runner))
    except BertdError as error:
        print(f"bertd: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

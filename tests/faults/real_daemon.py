"""`bertd start` with a private state folder: real ranks, real delays, real timeouts."""

from __future__ import annotations

import subprocess
import sys

from tests.daemon.daemon_box import DaemonBox
from tests.jobs.runner_box import with_tests_on_path


class RealDaemonBox(DaemonBox):
    """The daemon's box with nothing fake."""

    def spawn(self, *options: str, socket: str | None = None, env: dict[str, str] | None = None) -> None:
        """Start the daemon without waiting for it."""
        command = [sys.executable, "-m", "bertd", "start", "--state-dir", str(self.state.root)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--socket", socket or str(self.socket), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=with_tests_on_path() | (env or {}),
                cwd=self.folder,
            )

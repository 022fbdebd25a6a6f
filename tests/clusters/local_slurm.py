"""A Slurm of one node in a private folder: munged, slurmctld and slurmd from Debian's packages, as root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.waiting import PATIENCE_S, wait_for

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
_NUM_SERVERS = 3
_CONFIG = """\
ClusterName=bertd
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
JobRequeue=1
KillWait=10
SchedulerParameters=sched_interval=1,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_for_slurm() -> str:
    """Why no Slurm can be started here; empty if it can."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None and shutil.which(f"/usr/sbin/{name}") is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmd needs root"


class LocalSlurm:
    """Runs while the context is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Self:
        folder = self._folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        config = _CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            folder=folder,
            controller_port=_free_port(),
            node_port=_free_port(),
            cpus=os.cpu_count(),
        )
        (folder / "slurm.conf").write_text(config)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        munge = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.sock"]
        munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
        try:
            self._start(munge)
            wait_for(lambda: (folder / "munge.sock").exists(), what="munged listens")
            self._start(["slurmctld", "-D"])
            wait_for(lambda: not self.call("scontrol", "ping", check=False).returncode, what="slurmctld answers")
            self._start(["slurmd", "-D"])
            wait_for(
                lambda: "idle" in self.call("sinfo", "-h", "-o", "%T", check=False).stdout, what="the node is idle"
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if len(self._servers) == _NUM_SERVERS:
            # slurmd leaves its jobs running.
            self.call("scancel", "--full", "--me", check=False)
            self.call("scancel", "--me", check=False)
            wait_for(lambda: not self.call("squeue", "-h", check=False).stdout, what="no job runs")
        for server in reversed(self._servers):
            server.terminate()
        for server in reversed(self._servers):
            try:
                server.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def call(self, *command: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """One of Slurm's commands, with its output."""
        done = subprocess.run(
            command, env=self.environment, input=text, text=True, capture_output=True, timeout=PATIENCE_S, check=False
        )
        assert not (check and done.returncode), done.stderr
        return done

    def read_log(self) -> str:
        """What the servers wrote, for a test that fails."""
        return "".join((self._folder / f"{name}.log").read_text() for name in ("slurmctld", "slurmd"))

    def _start(self, command: list[str]) -> None:
        program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        with (self._folder / "servers.log").open("ab") as log:
            server = subprocess.Popen(
                [program, *command[1:]], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._servers.append(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

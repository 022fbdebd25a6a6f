"""The only place that spells the names inside a state folder, a run folder and a job folder.

STATE/                       the daemon's
  queue.db  daemon.lock  daemon.log
  runs/RUN/                  RunPaths: one pretraining
    recipe.toml  provenance.json  ledger.json  exports/step-%09d/  checkpoints/step-%09d/  checkpoints/kept.json
    diagnostics/attempt-%06d/  what was seen of ranks that hung, before they were killed
    journal.jsonl  runner.json  outcome.json  control/%06d.json  logs/     <- JobPaths: every job has these
    finetunes/JOB/           JobPaths: one finetuning of this run
      finetune.json  journal.jsonl ...
  finetunes/JOB/             JobPaths: one finetuning of an export that no run here made
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import ShardError

_STEP_FOLDER = re.compile(r"^step-(\d{9,})$")
TEMPORARY_PREFIX = ".tmp-"
"""Folders and files that start so are not whole; the next start sweeps them."""
TRASH_PREFIX = ".trash-"
"""Folders that start so are being deleted."""
DAMAGED_PREFIX = "damaged-"
"""Checkpoints that did not verify, for a person to look at; the first to go when the disk is short of room."""
VOID_PREFIX = "void-"
"""Exports of a step that was done again with other weights, after a rollback."""


def expand_user(text: str) -> Path:
    """A path as a person writes it, `~` for a home; where nobody has that home, as it stands."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def step_folder_name(step: int) -> str:
    """Name of a checkpoint or an export."""
    return f"step-{step:09d}"


def step_of(folder: Path) -> int:
    """The step that a checkpoint's or an export's folder is named for."""
    match = _STEP_FOLDER.match(folder.name)
    assert match is not None, f"{folder} is no step folder"
    return int(match[1])


def newest_first(folder: Path) -> list[Path]:
    """Checkpoints or exports in `folder`, by falling step; no folder, no entries."""
    try:
        entries = [entry for entry in folder.iterdir() if _STEP_FOLDER.match(entry.name)]
    except FileNotFoundError:
        return []
    return sorted(entries, key=step_of, reverse=True)


@dataclass(frozen=True)
class JobPaths:
    """What every job's folder holds."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def runner(self) -> Path:
        """RunnerIdentity, written by the runner before it starts anything."""
        return self.root / "runner.json"

    @property
    def outcome(self) -> Path:
        """Outcome, the runner's last act."""
        return self.root / "outcome.json"

    @property
    def control(self) -> Path:
        """The mailbox."""
        return self.root / "control"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def log(self) -> Path:
        """Standard output and error of runner and ranks."""
        return self.logs / "job.log"

    @property
    def finetune_spec(self) -> Path:
        return self.root / "finetune.json"


@dataclass(frozen=True)
class RunPaths(JobPaths):
    """What the folder of a pretraining holds besides."""

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.json"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def kept(self) -> Path:
        """KeptCheckpoints: what lies in `checkpoints`, and why."""
        return self.checkpoints / "kept.json"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    def diagnostics(self, attempt: int) -> Path:
        """What was seen of an attempt that hung."""
        return self.root / "diagnostics" / f"attempt-{attempt:06d}"

    def finetune(self, job_id: int) -> JobPaths:
        """Folder of one finetuning of this run."""
        return JobPaths(self.root / "finetunes" / f"{job_id:06d}")


@dataclass(frozen=True)
class StatePaths:
    """What the daemon's state folder holds."""

    root: Path

    @property
    def queue(self) -> Path:
        return self.root / "queue.db"

    @property
    def lock(self) -> Path:
        return self.root / "daemon.lock"

    def run(self, run_id: str) -> RunPaths:
        """Folder of one run; `run_id` is `JOB-NAME`, both already checked."""
        return RunPaths(self.root / "runs" / run_id)

    def foreign_finetune(self, job_id: int) -> JobPaths:
        """Folder of a finetuning whose export no run here made."""
        return JobPaths(self.root / "finetunes" / f"{job_id:06d}")


def default_state_dir() -> Path:
    """`$BERTD_STATE`, else systemd's `$STATE_DIRECTORY`, else the user's XDG state folder."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return _from_environment("BERTD_STATE", systemd="STATE_DIRECTORY") or Path(base) / "bertd"


def default_socket() -> Path:
    """Where the daemon listens unless told: `$BERTD_SOCKET`, systemd's or the user's runtime folder, /run/bertd."""
    if value := os.environ.get("BERTD_SOCKET"):
        return Path(value)
    if value := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(value.split(":")[0]) / "bertd.sock"
    if value := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(value) / "bertd" / "bertd.sock"
    return Path("/run/bertd/bertd.sock")


def client_socket() -> Path:
    """Where a client looks: the user's daemon if its socket is there, else the system's."""
    first = default_socket()
    system = Path("/run/bertd/bertd.sock")
    if os.environ.get("BERTD_SOCKET") or _exists(first, if_closed=False):
        return first
    return system if _exists(system, if_closed=True) else first


def _exists(path: Path, *, if_closed: bool) -> bool:
    """Whether the path is there; `if_closed` where its folder does not let us look."""
    try:
        return path.exists()
    except PermissionError:
        return if_closed


def default_data_dir() -> Path:
    """Where data sets are looked up by name: `$BERTD_DATA`, systemd's cache folder, the user's XDG cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return _from_environment("BERTD_DATA", systemd="CACHE_DIRECTORY") or Path(base) / "bertd"


def find_data_set(shards: str) -> Path:
    """A recipe's data set as an absolute path: from the present folder, else by name among prepared ones.

    Raises:
        ShardError: a relative one is in neither place.
    """
    path = expand_user(shards)
    if path.is_absolute():
        return path
    places = [Path.cwd() / path, default_data_dir().absolute() / path]
    for place in places:
        if place.is_dir():
            return place
    looked = f"no folder {places[0]} nor {places[1]}"
    raise ShardError(f"[data] shards = {shards!r}: {looked}; make one with `bertd data prepare`")


def measurements_dir() -> Path:
    """Where what was measured of this machine is remembered: beside the data sets, out of their sight."""
    return default_data_dir() / ".measured"


def _from_environment(variable: str, *, systemd: str) -> Path | None:
    """The folder that bertd's variable names, else the first one of systemd's list, which is separated by colons."""
    if value := os.environ.get(variable):
        return Path(value)
    if value := os.environ.get(systemd):
        return Path(value.split(":")[0])
    return None

"""The names of all files and folders inside a state folder, a run folder and a job folder; no other module spells them.

STATE/                       the daemon's
  queue.db  daemon.lock  daemon.log
  runs/RUN/                  RunPaths: one pretraining
    recipe.toml  provenance.json  ledger.json  exports/step-%09d/  checkpoints/step-%09d/  checkpoints/kept.json
    pause.json               only of a setting of a sweep: where it pauses by itself
    disk_quota.json          only where there is a quota: what the folder may take of the disk
    trackers/NAME/  trackers/NAME.json  trackers/NAME.log   what the recipe's trackers get, and how far they are
    diagnostics/attempt-%06d/  stacks and logs of hung ranks, collected before they were killed
    journal.jsonl  runner.json  outcome.json  energy.json  control/%06d.json  logs/     <- JobPaths: every job has these
    finetunes/JOB/           JobPaths: one finetuning of this run
      finetune.json  journal.jsonl ...
  sweeps/SWEEP/              SweepPaths: sweep.toml  recipe.toml  winner.toml
  finetunes/JOB/             JobPaths: one finetuning of an export from outside this state folder
  commands/JOB/              JobPaths: one job of kind command
    command.json
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import OutputExistsError, ShardError, StorageError

_STEP_FOLDER = re.compile(r"^step-(\d{9,})$")
TEMPORARY_PREFIX = ".tmp-"
"""Prefix of incomplete folders and files; the next start deletes them."""
TRASH_PREFIX = ".trash-"
"""Prefix of folders that are being deleted."""
DAMAGED_PREFIX = "damaged-"
"""Prefix of checkpoints that failed verification, kept for inspection; deleted first when disk space is short."""
VOID_PREFIX = "void-"
"""Prefix of exports of a step that was repeated with other weights after a rollback."""


def expand_user(text: str) -> Path:
    """A path with `~` expanded to the home folder; unchanged if there is no such home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def step_folder_name(step: int) -> str:
    """Name of a checkpoint's or an export's folder."""
    return f"step-{step:09d}"


def step_of(folder: Path) -> int:
    """The step in the name of a checkpoint's or an export's folder."""
    match = _STEP_FOLDER.match(folder.name)
    assert match is not None, f"{folder} is not a step folder"
    return int(match[1])


def require_new_folder(folder: Path) -> None:
    """Check that nothing is where a folder is to be made.

    Raises:
        OutputExistsError: something is.
        StorageError: the path cannot be looked at.
    """
    try:
        exists = folder.exists() or folder.is_symlink()
    except OSError as error:
        raise StorageError(f"{folder}: cannot look there: {error.strerror}; check the path") from error
    if exists:
        raise OutputExistsError(f"{folder}: exists already; give another with --out FOLDER, or remove it")


def newest_first(folder: Path) -> list[Path]:
    """Checkpoints or exports in `folder`, highest step first; none if the folder does not exist."""
    try:
        entries = [entry for entry in folder.iterdir() if _STEP_FOLDER.match(entry.name)]
    except FileNotFoundError:
        return []
    return sorted(entries, key=step_of, reverse=True)


def digest_of_journal(journal: Path) -> Path:
    """What a start needs of a journal, next to it; see bertd.run.journal_digest."""
    return journal.with_suffix(".digest.json")


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
        """Outcome, the last file that the runner writes."""
        return self.root / "outcome.json"

    @property
    def energy(self) -> Path:
        """JobEnergy, written by the daemon while the job has GPUs."""
        return self.root / "energy.json"

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
    def log_times(self) -> Path:
        """How long the log was at which time; see bertd.run.log_times."""
        return self.logs / "job.times"

    @property
    def finetune_spec(self) -> Path:
        return self.root / "finetune.json"

    @property
    def grid_spec(self) -> Path:
        return self.root / "grid.json"

    @property
    def command_spec(self) -> Path:
        return self.root / "command.json"

    @property
    def progress(self) -> Path:
        """How far a program of bertd is that is a job."""
        return self.root / "progress.json"

    @property
    def result(self) -> Path:
        """What came of it, for programs."""
        return self.root / "result.json"

    @property
    def result_text(self) -> Path:
        """What came of it, in a line."""
        return self.root / "result.txt"

    @property
    def trials(self) -> Path:
        """Of a grid: the folders of its trials."""
        return self.root / "trials"

    def trial(self, name: str) -> JobPaths:
        """Folder of one trial of a grid: a finetuning's, without a runner of its own."""
        return JobPaths(self.trials / name)

    @property
    def epoch_state(self) -> Path:
        """A finetuning after its newest saved epoch; deleted at its end."""
        return self.root / "epoch"

    @property
    def dev_predictions(self) -> Path:
        """What a finetuning predicted of its development sets after the epoch that is scored."""
        return self.root / "dev-predictions.npz"

    @property
    def finetuned_model(self) -> Path:
        """The model of a finetuning that keeps it."""
        return self.root / "model"


@dataclass(frozen=True)
class RunPaths(JobPaths):
    """The folder of a pretraining: a job's folder with more files."""

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def curves(self) -> Path:
        """What the daemon has read of the journal, so that it reads nothing twice; may be deleted."""
        return self.root / "curves.json"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.json"

    @property
    def pause_mark(self) -> Path:
        """The charged time at which a setting of a sweep pauses by itself; other runs have none."""
        return self.root / "pause.json"

    @property
    def disk_quota(self) -> Path:
        """What this folder may take of the disk; see bertd.run.disk_quota."""
        return self.root / "disk_quota.json"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def kept(self) -> Path:
        """KeptCheckpoints: what is in `checkpoints`, and why."""
        return self.checkpoints / "kept.json"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def trackers(self) -> Path:
        """Folder of the trackers that the recipe names; see bertd.trackers.follow."""
        return self.root / "trackers"

    def tracker(self, name: str) -> Path:
        """What one tracker writes."""
        return self.trackers / name

    def tracker_state(self, name: str) -> Path:
        """How far it is."""
        return self.trackers / f"{name}.json"

    def tracker_log(self, name: str) -> Path:
        return self.trackers / f"{name}.log"

    def diagnostics(self, attempt: int) -> Path:
        """Folder for what was collected of an attempt that hung."""
        return self.root / "diagnostics" / f"attempt-{attempt:06d}"

    def finetune(self, job_id: int) -> JobPaths:
        """Folder of one finetuning of this run."""
        return JobPaths(self.root / "finetunes" / f"{job_id:06d}")


@dataclass(frozen=True)
class SweepPaths:
    """The folder of a sweep: what was submitted, and the recipe that won; its runs have folders of their own."""

    root: Path

    @property
    def sweep(self) -> Path:
        """The sweep file as it was submitted."""
        return self.root / "sweep.toml"

    @property
    def base_recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def winner(self) -> Path:
        """The recipe of the best setting; written when the sweep is done."""
        return self.root / "winner.toml"


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

    @property
    def runs(self) -> Path:
        """Folder of the folders of all runs."""
        return self.root / "runs"

    def run(self, run_id: str) -> RunPaths:
        """Folder of one run; `run_id` is `JOB-NAME`, both checked by the caller."""
        return RunPaths(self.runs / run_id)

    def sweep(self, folder_name: str) -> SweepPaths:
        """Folder of one sweep; its name is `SWEEP-NAME`, both checked by the caller."""
        return SweepPaths(self.root / "sweeps" / folder_name)

    def foreign_finetune(self, job_id: int) -> JobPaths:
        """Folder of a finetuning whose export is from outside this state folder."""
        return JobPaths(self.root / "finetunes" / f"{job_id:06d}")

    def command(self, job_id: int) -> JobPaths:
        """Folder of one job of kind command."""
        return JobPaths(self.root / "commands" / f"{job_id:06d}")


def default_state_dir() -> Path:
    """`$BERTD_STATE`, else systemd's `$STATE_DIRECTORY`, else the user's XDG state folder."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return _from_environment("BERTD_STATE", systemd="STATE_DIRECTORY") or Path(base) / "bertd"


def default_socket() -> Path:
    """The daemon's default socket: `$BERTD_SOCKET`, in systemd's or the user's runtime folder, or in /run/bertd."""
    if value := os.environ.get("BERTD_SOCKET"):
        return Path(value)
    if value := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(value.split(":")[0]) / "bertd.sock"
    if value := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(value) / "bertd" / "bertd.sock"
    return Path("/run/bertd/bertd.sock")


def client_socket() -> Path:
    """The socket a client connects to: the user's daemon if its socket exists, else the system's."""
    first = default_socket()
    system = Path("/run/bertd/bertd.sock")
    if os.environ.get("BERTD_SOCKET") or _exists(first, if_closed=False):
        return first
    return system if _exists(system, if_closed=True) else first


def _exists(path: Path, *, if_closed: bool) -> bool:
    """Whether the path exists; `if_closed` if its folder may not be read."""
    try:
        return path.exists()
    except PermissionError:
        return if_closed


def default_data_dir() -> Path:
    """Where data sets are looked up by name: `$BERTD_DATA`, systemd's cache folder, the user's XDG cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return _from_environment("BERTD_DATA", systemd="CACHE_DIRECTORY") or Path(base) / "bertd"


def find_data_set(shards: str) -> Path:
    """A recipe's data set as an absolute path: from the current folder, else by name among the prepared ones.

    Another folder of that name in the current one, such as the corpus, does not hide a prepared data set.

    Raises:
        ShardError: a relative path exists in neither place.
    """
    path = expand_user(shards)
    if path.is_absolute():
        return path
    places = [Path.cwd() / path, default_data_dir().absolute() / path]
    for place in (*filter(is_data_set, places), *filter(Path.is_dir, places)):
        return place
    looked = f"no folder {places[0]} nor {places[1]}"
    raise ShardError(f"[data] shards = {shards!r}: {looked}; make one with `bertd data prepare`")


def place_data_set(name: str) -> Path:
    """Where a data set of this name or path is, or will be made: a bare name is in the folder of data sets."""
    return expand_user(name).absolute() if "/" in name else default_data_dir().absolute() / name


def is_data_set(folder: Path) -> bool:
    """Whether the folder has a data set's manifest."""
    return (folder / "manifest.json").is_file()


def measurements_dir() -> Path:
    """Where measurements of this machine are kept: hidden, next to the data sets."""
    return default_data_dir() / ".measured"


def _from_environment(variable: str, *, systemd: str) -> Path | None:
    """The folder in bertd's variable, else the first one of systemd's list, which is separated by colons."""
    if value := os.environ.get(variable):
        return Path(value)
    if value := os.environ.get(systemd):
        return Path(value.split(":")[0])
    return None

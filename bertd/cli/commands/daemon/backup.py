"""`bertd backup` and `bertd restore`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.options import SocketOption, connect

if TYPE_CHECKING:
    from bertd.daemon.backup.manifest import BackupManifest

StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="FOLDER",
        help="The state folder. By default that of `bertd start`.",
        show_default=False,
    ),
]


def backup(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where it is written; must not exist or be empty.")],
    all_checkpoints: Annotated[
        bool,
        typer.Option("--all-checkpoints", help="Not only the newest checkpoints of the runs that may train again."),
    ] = False,
    state_dir: StateDirOption = None,
    socket: SocketOption = None,
) -> None:
    """Copy queue, journals, logs, scores, exports and what unfinished runs continue from; the daemon may run.

    Run it as root or as the daemon's user, who may read all of it.
    """
    from bertd.daemon.backup.write_backup import write_backup
    from bertd.run.paths import StatePaths

    folder, queue, unfinished = _read_queue(state_dir, socket)
    manifest = write_backup(
        StatePaths(folder),
        out.absolute(),
        queue=queue,
        unfinished=unfinished,
        now=time.time(),
        all_checkpoints=all_checkpoints,
    )
    print(f"{out}: {_amount(manifest)} of {folder}")


def restore(
    backup: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of the backup.", exists=True, file_okay=False)],
    state_dir: StateDirOption = None,
) -> None:
    """Put a backup into an empty state folder, each file compared with its hash; `bertd start` then continues it.

    Unfinished runs continue from their newest checkpoint: let no other daemon train the same runs.
    """
    from bertd.daemon.backup.restore_backup import restore_backup

    folder = _configured_state_dir(state_dir)
    manifest = restore_backup(backup.absolute(), folder)
    print(f"{folder}: {_amount(manifest)}, as of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(manifest.t))}")


def _read_queue(state_dir: Path | None, socket: Path | None) -> tuple[Path, bytes, set[str]]:
    """The state folder, the queue's content, and the runs that may train again: by the daemon, else from the file.

    Raises:
        DaemonUnreachableError: no daemon listens on the socket that was given.
    """
    from bertd.errors import DaemonUnreachableError
    from bertd.jobs.store.lifecycle import FINAL

    if state_dir is None:
        client = connect(socket)
        try:
            queue = client.queue_copy()
            unfinished = {job.run_id for job in client.jobs() if job.state not in FINAL}
            return Path(client.version().state_dir), queue, unfinished
        except DaemonUnreachableError:
            if socket is not None:
                raise
            print("no daemon answers; the queue's file itself is read", file=sys.stderr)
    from bertd.daemon.backup.read_stopped import read_stopped_queue

    folder = _configured_state_dir(state_dir)
    queue, unfinished = read_stopped_queue(folder)
    return folder, queue, unfinished


def _configured_state_dir(chosen: Path | None) -> Path:
    from bertd.daemon.configuration.sources import default_sources, read_configuration

    return (chosen or read_configuration(default_sources()).state_dir).absolute()


def _amount(manifest: BackupManifest) -> str:
    from bertd.run.amounts.quantities import format_bytes

    return f"{len(manifest.files):,} files, {format_bytes(sum(file.size_bytes for file in manifest.files))}"

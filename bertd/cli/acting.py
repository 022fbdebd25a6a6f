"""Verbs that change a job: pause, resume, checkpoint, stop, hold, release, priority; and shutdown."""

from __future__ import annotations

from typing import Annotated

import typer

from bertd.cli.options import JobArgument, SocketOption, connect, find_job, standing


def pause(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Save a checkpoint, stop the processes and free the devices; no step is lost, nothing more is charged."""
    client = connect(socket)
    print(standing(client.pause(find_job(client, id).id)))


def resume(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Put a paused run back into the queue; it goes on with the next sequence and the charged time it had."""
    client = connect(socket)
    print(standing(client.resume(find_job(client, id).id)))


def checkpoint(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Save a checkpoint at the next step and train on."""
    client = connect(socket)
    print(standing(client.checkpoint(find_job(client, id).id)))


def stop(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """End a job for good: a run validates, saves and exports first; a finetuning is cancelled."""
    client = connect(socket)
    print(standing(client.stop(find_job(client, id).id)))


def hold(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Keep a queued job from starting."""
    client = connect(socket)
    print(standing(client.hold(find_job(client, id).id)))


def release(id: JobArgument = "@", socket: SocketOption = None) -> None:
    """Let a held job start."""
    client = connect(socket)
    print(standing(client.release(find_job(client, id).id)))


def priority(
    id: JobArgument,
    number: Annotated[int, typer.Argument(help="Higher goes first; jobs begin with 0.")],
    socket: SocketOption = None,
) -> None:
    """Move a job in the queue. Write `-- -1` for a number below 0."""
    client = connect(socket)
    print(standing(client.priority(find_job(client, id).id, number)))


def shutdown(socket: SocketOption = None) -> None:
    """End the daemon, which first pauses running jobs with a checkpoint (see `bertd start --help`)."""
    client = connect(socket)
    pid = client.version().pid
    client.shutdown()
    print(f"the daemon (pid {pid}) is ending; what it pauses goes on at the next `bertd start`")

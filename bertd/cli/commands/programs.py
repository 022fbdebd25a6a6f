"""Subcommands that become another program: start is the daemon; data, predict, bench and prove are compute programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from bertd.cli.forwarding import FORWARD_ALL_ARGUMENTS, PROGRAMS, ForwardingCommand

data_app = typer.Typer(help="Make data sets: shards from text, and the vocabulary for them.", no_args_is_help=True)


def start(
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="FOLDER",
            help="Where queue and runs are kept. By default $BERTD_STATE, else ~/.local/state/bertd.",
            show_default=False,
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            "--socket",
            metavar="PATH",
            help="Where to listen. By default systemd's socket, $BERTD_SOCKET, your runtime folder, /run/bertd.",
            show_default=False,
        ),
    ] = None,
    keep_running_on_stop: Annotated[
        bool | None,
        typer.Option(
            "--keep-running-on-stop/--pause-on-stop",
            help="When the daemon ends, leave jobs running for the next one to adopt, or pause them, which it does by "
            "default.",
            show_default=False,
        ),
    ] = None,
    finetunings_per_gpu: Annotated[
        int | None,
        typer.Option(
            "--finetunings-per-gpu",
            metavar="N",
            min=1,
            max=64,
            help="How many finetunings may share a GPU, each with an equal part of its memory. By default one for each "
            "12 GB, up to 4.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Read this configuration alone. By default bertd.toml in /etc/bertd and in ~/.config/bertd; `bertd "
            "config` shows what they set.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the daemon in the foreground; Ctrl-C or SIGTERM pauses running jobs with a checkpoint and ends it.

    SIGHUP reads its configuration again.
    """
    from bertd.daemon.configuration.sources import default_sources
    from bertd.daemon.service import serve

    code = serve(
        default_sources(
            file=config,
            options={
                "daemon.state_dir": None if state_dir is None else str(state_dir.absolute()),
                "daemon.keep_running_on_stop": keep_running_on_stop,
                "devices.finetunings_per_gpu": finetunings_per_gpu,
            },
        ),
        # None and not the default: the daemon takes the socket that systemd may pass before it makes its own.
        socket=None if socket is None else socket.absolute(),
    )
    sys.exit(code)


@data_app.command("prepare", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)
def prepare() -> None:
    """Turn text into shards, at once or with --queue as a job; see `bertd data prepare --help`."""
    from bertd.cli.commands.submitting.queue_program import is_queued, queue_prepare

    if is_queued(arguments := sys.argv[3:]):
        queue_prepare(arguments)
    else:
        _exec_forwarding_arguments("prepare")


@data_app.command("vocab", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)
def vocab() -> None:
    """Train a WordPiece vocabulary on text; see `bertd data vocab --help`."""
    _exec_forwarding_arguments("vocab")


@data_app.command("inspect", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)
def inspect() -> None:
    """Show what a data set holds; see `bertd data inspect --help`."""
    _exec_forwarding_arguments("inspect")


@data_app.command("verify", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)
def verify() -> None:
    """Check every file of a data set against its hash."""
    _exec_forwarding_arguments("verify")


@data_app.command("fetch", cls=ForwardingCommand, context_settings=FORWARD_ALL_ARGUMENTS)
def fetch() -> None:
    """Download a corpus from the hub; `bertd data fetch --help` lists them."""
    _exec_forwarding_arguments("fetch")


def predict() -> None:
    """Write the labels that a finetuned model gives to a table's texts; see `bertd predict --help`."""
    _exec_forwarding_arguments("predict", num_words=2)


def bench() -> None:
    """Measure training speed, compared with stock models; see `bertd bench --help`."""
    _exec_forwarding_arguments("bench", num_words=2)


def prove() -> None:
    """Check that this machine computes correctly, how fast, and that a whole run works; see `bertd prove --help`."""
    _exec_forwarding_arguments("prove", num_words=2)


def _exec_forwarding_arguments(program: str, *, num_words: int = 3) -> None:
    """Exec a program of the compute side, which this process never imports, with the remaining arguments."""
    # From sys.argv (`bertd data SUBCOMMAND ...`): the parser would swallow a `--` that the program needs.
    exec_module(PROGRAMS[program], sys.argv[num_words:])


def answer_of_module(module: str, request: str) -> str:
    """What a program of the compute side answers to a request on its input.

    Raises:
        Exit: it failed, and has said why.
    """
    return _ask_module(module, request, stdout=subprocess.PIPE)


def answer_of_program(module: str, arguments: list[str]) -> str:
    """What a program of the compute side prints; as `exec_module` otherwise.

    Raises:
        Exit: it failed, and has said why.
    """
    return _ask_module(module, "", *arguments, stdout=subprocess.PIPE)


def run_module(module: str, request: str) -> None:
    """Have a program of the compute side carry out the request on its input; it prints by itself.

    Raises:
        Exit: it failed, and has said why.
    """
    _ask_module(module, request, stdout=None)


def _ask_module(module: str, request: str, *arguments: str, stdout: int | None) -> str:
    command = [sys.executable, "-m", "bertd.program", module, *arguments]
    sys.stdout.flush()
    # In its own session, so that Ctrl-C reaches only this process, which then ends the child.
    done = subprocess.run(command, input=request, stdout=stdout, text=True, check=False, start_new_session=True)
    if done.returncode:
        raise typer.Exit(done.returncode)
    return done.stdout or ""


def exec_module(module: str, arguments: list[str]) -> None:
    """Replace this process with a program of the compute side, imported inside the edge that this one has."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "bertd.program", module, *arguments])

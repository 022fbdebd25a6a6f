"""bertd.cli.exit_codes: one table, true for every subcommand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from bertd import errors, program
from bertd.api.models import ErrorView
from bertd.cli import app, exit_codes
from bertd.cli.commands.wait import EXIT_CODE_BY_STATE
from bertd.errors import BertdError
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

ROOT = Path(__file__).parents[2]
ARGUMENTS = {
    "submit": ["demo", "--set", "data.shards=/"],
    "finetune": ["7", "--task", "cola", "--data", "/"],
    "status": [],
    "jobs": [],
    "show": ["7"],
    "logs": ["7"],
    "scores": ["7"],
    "wait": ["7"],
    "pause": ["7"],
    "resume": ["7"],
    "checkpoint": ["7"],
    "stop": ["7"],
    "budget": ["7", "30h"],
    "hold": ["7"],
    "release": ["7"],
    "priority": ["7", "5"],
    "move": ["7", "--first"],
    "change": ["7", "--only", "20:00-08:00"],
    "recipe": ["7"],
    "export": ["7"],
    "evaluate": ["7"],
    "report": ["7"],
    "export-metrics": ["7", "--to", "csv"],
    "sweep": [str(ROOT / "tests/cli/rates.toml")],
    "sweeps": [],
    "shutdown": [],
    "devices": [],
    "drain": ["0"],
    "undrain": ["cpu"],
    "gc": [],
    "audit": [],
    "hooks": [],
}
"""Arguments with which each subcommand asks the daemon."""
READING = {"audit", "gc", "hooks", "logs", "status", "jobs", "show", "devices", "scores", "wait"}
WITHOUT_DAEMON = {
    "start",
    "predict",
    "bench",
    "prove",
    "plan",
    "doctor",
    "config",
    "backup",
    "restore",
    "train",
    "slurm",
    "join",
    "k8s",
    "skypilot",
}


def test_every_subcommand_is_tried_here() -> None:
    group = typer.main.get_command(app.app)
    assert {*ARGUMENTS, *WITHOUT_DAEMON, "data", "glue", "service"} == set(group.commands)  # type: ignore[attr-defined]  # Typer's group


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_no_daemon_is_69_for_every_subcommand(verb: str, bertd: Bertd) -> None:
    assert bertd(verb, *ARGUMENTS[verb]).code == 69


@pytest.mark.parametrize("verb", ARGUMENTS)
def test_an_unknown_option_is_2_for_every_subcommand(verb: str, bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd(verb, *ARGUMENTS[verb], "--jsn").code == 2
    assert daemon.requests == []


@pytest.mark.parametrize(
    "kind", ["UnknownJobError", "TransitionError", "StorageError", "CheckpointError", "BudgetError"]
)
@pytest.mark.parametrize("verb", ARGUMENTS)
def test_a_refusal_has_the_status_of_its_class_for_every_subcommand(
    verb: str, kind: str, bertd: Bertd, daemon: FakeDaemon
) -> None:
    daemon.refusal = (409, ErrorView(code=kind, message="no"))
    said = bertd(verb, *ARGUMENTS[verb])
    assert (said.code, said.err) == (getattr(errors, kind).exit_code, "bertd: no\n")


@pytest.mark.parametrize(
    "verb", sorted(ARGUMENTS.keys() - {"logs", "status", "jobs", "show", "devices", "scores", "wait"})
)
def test_every_subcommand_that_acts_prints_json(verb: str) -> None:
    command = typer.main.get_command(app.app).commands[verb]  # type: ignore[attr-defined]  # Typer's group
    assert "--json" in [option for parameter in command.params for option in parameter.opts]


def test_every_status_in_the_table_is_that_of_something() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BertdError)]
    others = {
        0,
        program.INTERRUPTED,
        program.INTERNAL_FAULT,
        exit_codes.TIMED_OUT,
        exit_codes.PAUSED,
        *EXIT_CODE_BY_STATE.values(),
    }
    assert {kind.exit_code for kind in kinds} | others == set(exit_codes.MEANINGS)


def test_what_exists_already_has_one_status_in_the_whole_tree() -> None:
    for path in (ROOT / "bertd").rglob("*.py"):
        for raised in re.findall(r"raise (\w+)\(f?\"\{\w+\}: exists", path.read_text()):
            assert raised in ("OutputExistsError", "DaemonError"), path

"""bertd.cli.plain_reading: it prints what the subcommand prints, and leaves to it all that it does not know."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from pathlib import Path

import pytest
from pytest import CaptureFixture

from bertd import __version__
from bertd.api.models import DeviceProcess, DeviceView, JobView, RunView, ScoreView, StatusView
from bertd.api.typed_requests import PAGE_ROWS
from bertd.cli import app, plain_reading
from bertd.cli.commands import query_commands
from bertd.cli.commands.daemon import device_commands
from bertd.cli.output import device_table, expected_times, pages, views
from bertd.errors import DaemonUnreachableError, UnknownJobError
from bertd.records import BudgetUnit, JobKind, JobState, PauseKind, Record
from bertd.run import execution_text
from tests.cli import samples
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon

CALLS = [
    ["status"],
    ["jobs"],
    ["devices"],
    ["show"],
    ["show", "7"],
    ["show", "7-demo"],
    ["show", "8"],
    ["show", "@"],
]


def run_plainly(arguments: Sequence[str]) -> bool:
    """Print the answer if it is a plain call; whether it was."""
    call = plain_reading.recognize(arguments)
    return call is not None and plain_reading.print_answer(call)


def run_subcommand(arguments: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app.run_app(arguments)
    assert end.value.code == 0


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: samples.NOW + 5)


def states_of_a_queue() -> StatusView:
    """A status with every state, kind, unit and pause, and names that would command a terminal."""
    jobs = [
        samples.job(number, state=state, kind=kind, reason="\x1b[2Jwaits for a GPU\u202e").model_copy(
            update={
                "ended_t": samples.NOW if state in (JobState.DONE, JobState.FAILED) else None,
                "pause": PauseKind.HOT if state is JobState.PAUSED else None,
                "expected_end_t": samples.NOW,
                "expected_start_t": samples.NOW + 90_000,
            }
        )
        for number, (state, kind) in enumerate(((state, kind) for state in JobState for kind in JobKind), start=1)
    ]
    budgets = [samples.run().budget.model_copy(update={"unit": unit, "amount": 500.0}) for unit in BudgetUnit]
    runs = [
        samples.run(state=state).model_copy(
            update={"id": f"{number}-r", "job_id": number, "budget": budgets[number % 4]}
        )
        for number, state in enumerate(JobState, start=1)
    ]
    update = {"jobs": jobs, "runs": runs, "num_jobs_by_state": {JobState.HELD: 300, JobState.DONE: 12}}
    return samples.status().model_copy(update=update)


@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
@pytest.mark.parametrize("has_all_states", [False, True])
def test_it_prints_what_the_subcommand_prints(
    arguments: list[str], has_all_states: bool, daemon: FakeDaemon, capsys: CaptureFixture[str]
) -> None:
    if has_all_states:
        daemon.status = states_of_a_queue()
        daemon.runs = [daemon.runs[0].model_copy(update={"state": JobState.DONE, "best_validation": float("nan")})]
    arguments = [*arguments, "--socket", str(daemon.socket)]
    assert run_plainly(arguments)
    plain = capsys.readouterr()
    run_subcommand(arguments)
    assert capsys.readouterr() == plain and plain.out


def test_foreign_processes_and_drained_devices_are_printed_as_the_subcommand_does(
    daemon: FakeDaemon, capsys: CaptureFixture[str]
) -> None:
    process = DeviceProcess(pid=3, user="eve", name="miner\x1b[2J", memory_bytes=1 << 30)
    gpu = samples.status().devices[0].model_copy(update={"foreign_processes": [process], "drained_by": "ada"})
    daemon.status = daemon.status.model_copy(update={"devices": [gpu]})
    for arguments in (["devices"], ["status"]):
        assert run_plainly([*arguments, "--socket", str(daemon.socket)])
        plain = capsys.readouterr()
        run_subcommand([*arguments, "--socket", str(daemon.socket)])
        assert capsys.readouterr() == plain
    assert run_plainly(["devices", "--socket", str(daemon.socket)])
    assert "is used by miner\\x1b[2J of eve" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["status", "--help"],
        ["status", "-h"],
        ["status", "extra"],
        ["status", "--socket"],
        ["status", "--socket", ""],
        ["status", "--socket", "--json"],
        ["status", "--jsno"],
        ["status", "--json"],
        ["jobs", "--json"],
        ["jobs", "--state", "queued"],
        ["show", "7", "8"],
        ["show", "7", "--json"],
        ["show", "../7"],
        ["show", ".."],
        ["show", "größe"],
        ["show", ""],
        ["show", "--", "7"],
        ["logs", "7"],
        ["stop", "7"],
        ["data", "status"],
    ],
    ids=" ".join,
)
def test_all_else_is_left_to_the_subcommand(arguments: list[str]) -> None:
    assert plain_reading.recognize(arguments) is None


def test_each_plain_verb_is_a_subcommand_with_these_options() -> None:
    commands = (query_commands.status, query_commands.jobs, query_commands.show, device_commands.devices)
    assert {command.__name__ for command in commands} == {*plain_reading._PAGES}
    for command in commands:
        parameters = inspect.signature(command).parameters
        assert {"socket", "json"} <= {*parameters}
        assert all(parameter.default in ("@", None, False) for parameter in parameters.values())


@pytest.mark.parametrize("version", ["", "0.0.1", "99.0"])
def test_an_answer_of_another_version_is_left_to_the_subcommand(
    version: str, daemon: FakeDaemon, capsys: CaptureFixture[str]
) -> None:
    daemon.bertd_version = version
    for arguments in CALLS:
        assert not run_plainly([*arguments, "--socket", str(daemon.socket)])
    assert capsys.readouterr().out == ""


def test_a_broken_connection_and_a_long_list_are_left_to_the_subcommand(
    daemon: FakeDaemon, capsys: CaptureFixture[str]
) -> None:
    daemon.num_breaks = 1
    assert not run_plainly(["status", "--socket", str(daemon.socket)])
    assert plain_reading.MAX_ROWS == PAGE_ROWS
    daemon.jobs = [samples.job(number) for number in range(1, plain_reading.MAX_ROWS + 1)]
    assert not run_plainly(["jobs", "--socket", str(daemon.socket)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"jobs": 3}', b"null", b"3", b"\xff", b"[[]]", b'[{"id": 1}]']
)
def test_an_answer_of_another_shape_is_refused_as_by_the_subcommand(
    body: bytes, daemon: FakeDaemon, bertd: Bertd, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = f"Bertd-Api-Version: 1\r\nBertd-Version: {__version__}\r\n"
    daemon.raw_answer = f"HTTP/1.1 200 OK\r\n{versions}Content-Length: {len(body)}\r\n\r\n".encode() + body
    said = [bertd(*arguments) for arguments in CALLS]
    monkeypatch.setattr(plain_reading, "recognize", lambda _: None)
    assert said == [bertd(*arguments) for arguments in CALLS]
    assert said[0].code == 1 and "unexpected answer from the daemon" in said[0].err


def test_errors_are_those_of_the_subcommand(daemon: FakeDaemon, tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachableError, match="no daemon listens there"):
        run_plainly(["status", "--socket", str(tmp_path / "absent")])
    with pytest.raises(UnknownJobError):
        run_plainly(["show", "99", "--socket", str(daemon.socket)])


def test_no_field_is_hidden_by_a_method_of_the_answer() -> None:
    """An unchecked answer is a dict: a field with the name of one of its methods could not be read."""
    models: list[type[Record]] = [StatusView, JobView, RunView, ScoreView, DeviceView, DeviceProcess]
    models += [type(value) for value in vars_of(samples.run()) if isinstance(value, Record)]
    assert not {name for model in models for name in model.model_fields} & {*dir(dict)}


def vars_of(record: Record) -> list[object]:
    return [getattr(record, name) for name in type(record).model_fields]


@pytest.mark.parametrize("module", [pages, views, device_table, expected_times, execution_text])
def test_what_prints_an_unchecked_answer_does_not_compare_enums_by_identity(module: object) -> None:
    """Its enums are strings, to which a member is equal, but not identical."""
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]  # a module, as parametrize gives it
    compared = [
        side
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Is | ast.IsNot) for each in node.ops)
        for side in node.comparators
    ]
    assert all(isinstance(side, ast.Constant) and side.value is None for side in compared)

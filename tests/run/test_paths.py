"""bertd.run.paths: names inside folders, and where folders are by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.data.dataset.locate import find_dataset
from bertd.run import paths
from bertd.run.paths import (
    RunPaths,
    StatePaths,
    client_socket,
    default_data_dir,
    default_socket,
    default_state_dir,
    find_data_set,
    newest_first,
    step_folder_name,
    step_of,
)

_VARIABLES = [
    *("BERTD_STATE", "BERTD_DATA", "BERTD_SOCKET"),
    *("STATE_DIRECTORY", "CACHE_DIRECTORY", "RUNTIME_DIRECTORY"),
    *("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"),
]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/ada")


def test_steps_sort_as_numbers_beyond_their_nine_digits(tmp_path: Path) -> None:
    for step in (5, 999_999_999, 1_000_000_000, 70):
        (tmp_path / step_folder_name(step)).mkdir()
    assert [entry.name for entry in newest_first(tmp_path)] == [
        "step-1000000000",
        "step-999999999",
        "step-000000070",
        "step-000000005",
    ]


@pytest.mark.parametrize("step", [0, 7, 999_999_999, 1_000_000_000])
def test_a_folder_is_named_for_its_step_and_the_step_is_read_from_it(step: int) -> None:
    assert step_of(Path("/run/checkpoints") / step_folder_name(step)) == step


@pytest.mark.parametrize("name", ["step-7", "step-", ".tmp-step-000000007", "kept.json"])
def test_no_step_is_read_from_another_name(name: str) -> None:
    with pytest.raises(AssertionError):
        step_of(Path(name))


def test_what_is_not_whole_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / f"{paths.TEMPORARY_PREFIX}step-000000007").mkdir()
    (tmp_path / "step-7").mkdir()
    (tmp_path / "notes").mkdir()
    assert newest_first(tmp_path) == []
    assert newest_first(tmp_path / "absent") == []


def test_a_run_folder_has_the_names_the_design_gives_it() -> None:
    run = StatePaths(Path("/state")).run("7-demo")
    assert run == RunPaths(Path("/state/runs/7-demo"))
    named = (run.recipe, run.provenance, run.journal, run.ledger, run.control, run.logs, run.checkpoints, run.exports)
    assert [path.name for path in named] == [
        *("recipe.toml", "provenance.json", "journal.jsonl", "ledger.json"),
        *("control", "logs", "checkpoints", "exports"),
    ]
    assert run.finetune(12).root == Path("/state/runs/7-demo/finetunes/000012")
    assert StatePaths(Path("/state")).foreign_finetune(12).root == Path("/state/finetunes/000012")


def test_the_state_folder_is_bertds_variable_then_systemds_then_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_state_dir() == Path("/home/ada/.local/state/bertd")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert default_state_dir() == Path("/xdg/bertd")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/bertd:/var/lib/other")
    assert default_state_dir() == Path("/var/lib/bertd")
    monkeypatch.setenv("BERTD_STATE", "/disk:1/bertd")
    assert default_state_dir() == Path("/disk:1/bertd")


def test_data_sets_are_looked_up_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_data_dir() == Path("/home/ada/.cache/bertd")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_data_dir() == Path("/xdg/bertd")
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/bertd")
    assert default_data_dir() == Path("/var/cache/bertd")
    monkeypatch.setenv("BERTD_DATA", "/data")
    assert default_data_dir() == Path("/data")


def test_the_daemon_listens_where_it_is_told_then_where_systemd_or_the_user_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert default_socket() == Path("/run/bertd/bertd.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert default_socket() == Path("/run/user/1000/bertd/bertd.sock")
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/bertd-test")
    assert default_socket() == Path("/run/bertd-test/bertd.sock")
    monkeypatch.setenv("BERTD_SOCKET", "/tmp/b.sock")
    assert default_socket() == Path("/tmp/b.sock")


def _exists(monkeypatch: pytest.MonkeyPatch, *present: str, closed: tuple[str, ...] = ()) -> None:
    def exists(self: Path) -> bool:
        if str(self).startswith(closed):
            raise PermissionError(13, "Permission denied")
        return str(self) in present

    monkeypatch.setattr(Path, "exists", exists)


USERS = "/run/user/1000/bertd/bertd.sock"
SYSTEMS = "/run/bertd/bertd.sock"


@pytest.mark.parametrize(
    ("present", "closed", "chosen"),
    [
        ((), (), USERS),
        ((USERS,), (), USERS),
        ((SYSTEMS,), (), SYSTEMS),
        ((USERS, SYSTEMS), (), USERS),
        ((SYSTEMS,), ("/run/user/1000",), SYSTEMS),
        ((), ("/run/bertd",), SYSTEMS),
    ],
)
def test_a_client_asks_the_users_daemon_if_there_is_one_else_the_systems(
    present: tuple[str, ...], closed: tuple[str, ...], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    _exists(monkeypatch, *present, closed=closed)
    assert client_socket() == Path(chosen)


def test_a_client_that_was_told_a_socket_does_not_look_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTD_SOCKET", "/tmp/b.sock")
    _exists(monkeypatch, SYSTEMS)
    assert client_socket() == Path("/tmp/b.sock")


def test_a_corpus_of_the_same_name_does_not_hide_a_prepared_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, prepared = tmp_path / "here" / "mine", tmp_path / "data" / "mine"
    corpus.mkdir(parents=True)
    prepared.mkdir(parents=True)
    monkeypatch.chdir(corpus.parent)
    monkeypatch.setenv("BERTD_DATA", str(prepared.parent))
    # Of two that are no data sets, the nearer one is named in the error.
    assert find_data_set("mine") == find_dataset("mine") == corpus

    (prepared / "manifest.json").touch()
    assert find_data_set("mine") == find_dataset("mine") == prepared

    (corpus / "manifest.json").touch()
    assert find_data_set("mine") == find_dataset("mine") == corpus

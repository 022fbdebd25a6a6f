"""`paths.roots` of the configuration: where what an operator submits must be, with links followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertd.api.models import SubmitCommand, SubmitFinetune, SubmitPrepare, SubmitPretrain
from bertd.daemon.api.accounts import Accounts
from tests.daemon.api.in_process_api import InProcessApi
from tests.jobs.runner_box import recipe_text

OPERATOR = 54321


@pytest.fixture
def confined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcessApi:
    """A daemon that lets operators name what is in `allowed`, and an operator who asks."""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "bertd.toml").write_text(f'[paths]\nroots = ["{tmp_path}/allowed"]\n')
    monkeypatch.setattr(Accounts, "is_operator", lambda *_: True)
    api = InProcessApi(tmp_path)
    api.uid = OPERATOR
    return api


def submit_command(api: InProcessApi, cwd: Path | str) -> tuple[int, str]:
    order = SubmitCommand(argv=["true"], cwd=str(cwd), environment={"PATH": "/bin:/usr/bin"}, hold=True)
    answer = api.ask("POST", "/v1/jobs", order.model_dump(mode="json"))
    return answer.status, answer.json.get("detail", "")


def test_what_is_in_a_root_is_taken(confined: InProcessApi, tmp_path: Path) -> None:
    below = tmp_path / "allowed" / "a"
    below.mkdir()
    (below / "link").symlink_to(tmp_path / "allowed")
    for cwd in (tmp_path / "allowed", below, below / "link", f"{below}/../a"):
        assert submit_command(confined, cwd)[0] == 201


def test_whatever_leads_out_of_the_roots_is_refused_and_audited(confined: InProcessApi, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    (allowed / "link").symlink_to(tmp_path / "outside")
    (allowed / "loop").symlink_to(allowed / "loop")
    (tmp_path / "allowed-not").mkdir()
    ways: list[Path | str] = [
        "/",
        "/etc",
        tmp_path,
        allowed / "link",
        f"{allowed}/../outside",
        tmp_path / "allowed-not",
        "//etc",
    ]
    for cwd in ways:
        status, detail = submit_command(confined, cwd)
        assert status == 422, cwd
        assert "is outside of the folders that paths.roots allows" in detail
    assert submit_command(confined, allowed / "loop")[0] == 422
    rows = confined.ask("GET", f"/v1/audit?user={OPERATOR}").json
    assert [row["status"] for row in rows] == [422] * (len(ways) + 1)


@pytest.mark.parametrize("key", ["data.shards", "model.start_from"])
def test_so_is_what_a_recipe_names(confined: InProcessApi, key: str) -> None:
    recipe = recipe_text(steps=20, shards=str(confined.shards))
    order = SubmitPretrain(recipe_toml=recipe, recipe_name="r.toml", overrides=[f'{key}="/etc"'])
    answer = confined.ask("POST", "/v1/jobs", order.model_dump(mode="json"))
    assert answer.status == 422 and "paths.roots" in answer.json["detail"]


def test_so_are_data_and_models_of_a_finetuning(confined: InProcessApi, tmp_path: Path) -> None:
    allowed = str(tmp_path / "allowed")
    for run, data_dir in (("/etc", allowed), ("@", "/etc"), (f"{allowed}/../outside", allowed)):
        order = SubmitFinetune(run=run, task="cola", data_dir=data_dir)
        answer = confined.ask("POST", "/v1/jobs", order.model_dump(mode="json"))
        assert answer.status == 422 and "paths.roots" in answer.json["detail"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["/etc/passwd"],
        ["jsonl:/etc/passwd"],
        ["text:../outside"],
        ["--vocab=/etc"],
        ["a", "--vocab", "/etc"],
        ["x,/etc"],
        ["text:a,b/../../../../../../../../../../etc/passwd"],
        ["text:" + "," * 40],
    ],
)
def test_so_are_the_sources_of_a_data_set(confined: InProcessApi, tmp_path: Path, arguments: list[str]) -> None:
    allowed = tmp_path / "allowed"
    order = SubmitPrepare(arguments=arguments, out=str(allowed / "set"), cwd=str(allowed))
    answer = confined.ask("POST", "/v1/jobs", order.model_dump(mode="json"))
    assert answer.status == 422 and "paths.roots" in answer.json["detail"]


def test_a_data_set_of_what_is_in_a_root_is_queued(confined: InProcessApi, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    (allowed / "a.txt").write_text("text\n")
    for arguments in (["a.txt"], [f"text:{allowed}/a.txt", "--seed=7"], ["hf:wikimedia/wikipedia,20231101.en"]):
        order = SubmitPrepare(arguments=arguments, out=str(allowed / "set"), cwd=str(allowed))
        answer = confined.ask("POST", "/v1/jobs", order.model_dump(mode="json"))
        assert "paths.roots" not in answer.json.get("detail", ""), answer.content


def test_root_and_the_daemons_own_user_name_what_they_like(confined: InProcessApi, tmp_path: Path) -> None:
    confined.uid = os.geteuid()
    assert submit_command(confined, tmp_path / "outside")[0] == 201
    confined.uid = 0
    assert submit_command(confined, "/")[0] == 201

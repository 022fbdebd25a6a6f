"""`bertd join`, `bertd submit --on` and `bertd plan --nodes`: what is named, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon
from tests.clusters.tiny_recipe import TINY
from tests.ssh_server import SshServer


@pytest.mark.parametrize("place", ["first", "first:", "first:port", ":29400", "first:70000"])
def test_a_place_without_a_port_is_refused(place: str, bertd: Bertd) -> None:
    said = bertd("join", place)
    assert said.code == 2
    assert "give RUN@HOST, or HOST:PORT such as first:29400" in said.err.replace("\n│", "").replace("  ", " ")


def test_nobody_trains_there(bertd: Bertd) -> None:
    said = bertd("join", "[::1]:1", "--wait", "1s")
    assert said.code == 69
    assert said.err.startswith("bertd: ::1:1: no run waits there; start or resume it")


def test_a_run_of_one_machine_takes_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bertd: Bertd) -> None:
    with SshServer(tmp_path / "box") as server, FakeDaemon(tmp_path / "there.sock"):
        monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
        said = bertd("join", f"7-demo@box:{tmp_path}/there.sock")
    assert said.code == 2
    assert "is a run of one machine" in said.err.replace("\n│", "")


def test_a_run_of_another_machine_is_looked_for_where_ssh_finds_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bertd: Bertd
) -> None:
    recipe = tmp_path / "two.toml"
    recipe.write_text(TINY.format(budget="steps = 5", shards="/data") + "nodes = 2\nport = 1025\n")
    monkeypatch.setattr("tests.cli.fake_daemon.find_recipe", lambda name: recipe)
    with SshServer(tmp_path / "box") as server, FakeDaemon(tmp_path / "there.sock"):
        monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
        said = bertd("join", f"7-demo@box:{tmp_path}/there.sock", "--wait", "1s")
    assert said.code == 69
    # `box` is an alias of ssh's configuration.
    assert said.err.startswith("bertd: 127.0.0.1:1025: no run waits there")


def test_hosts_are_further_machines_of_the_recipe(tmp_path: Path, dataset: Path, bertd: Bertd) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY.format(budget="steps = 5", shards=dataset))
    with FakeDaemon(tmp_path / "bertd.sock") as daemon:
        assert bertd("submit", str(recipe), "--set", "batch.sequences=48", "--on", "hosts:b,ada@c").code == 0
        overrides = json.loads(next(each.body for each in daemon.requests if each.path == "/v1/jobs" and each.body))[
            "overrides"
        ]
        assert 'devices.hosts=["b", "ada@c"]' in overrides and "devices.nodes=3" in overrides
        for wrong in ("b,c", "hosts:", "slurm:b"):
            assert bertd("submit", str(recipe), "--on", wrong).code == 2
        assert bertd("submit", str(recipe), "--on", "hosts:-oProxyCommand=x").code == 2


def test_a_plan_for_several_machines_has_the_exchange_of_gradients(bertd: Bertd) -> None:
    def plan(*arguments: str) -> dict[str, float]:
        said = bertd("plan", "24hbert", "--gpus", "8xH200", "--set", "data.shards=/none", "--json", *arguments)
        assert said.code == 0, said.err
        found: dict[str, float] = json.loads(said.out)["plan"]
        return found

    one, two, fast = plan(), plan("--nodes", "2", "--network", "25G"), plan("--nodes", "2", "--network", "400G")
    assert one["exchange_s"] == 0 < fast["exchange_s"] < two["exchange_s"]
    assert one["sequences"] < fast["sequences"] < 2 * one["sequences"]
    assert two["sequences"] < fast["sequences"]
    assert two["device_hours"] == pytest.approx(2 * one["device_hours"])


def test_several_machines_need_a_network_and_a_network_several_machines(bertd: Bertd) -> None:
    for arguments in (["--nodes", "2"], ["--network", "25G"], ["--nodes", "2", "--network", "fast"]):
        assert bertd("plan", "24hbert", "--gpus", "8xH200", *arguments).code == 2

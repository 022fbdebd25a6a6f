"""bertd.cli.commands.programs: start is the daemon; the data subcommands become their programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bertd.daemon import service
from bertd.daemon.configuration.sources import ConfigurationSources, read_configuration
from tests.cli.conftest import Bertd


@pytest.mark.parametrize(
    ("arguments", "module", "passed"),
    [
        (["data", "prepare", "--help"], "bertd.data.commands.prepare", ["--help"]),
        (
            ["data", "prepare", "in.txt", "--out", "x", "-v"],
            "bertd.data.commands.prepare",
            ["in.txt", "--out", "x", "-v"],
        ),
        (
            ["data", "vocab", "--size=8192", "--", "-odd.txt"],
            "bertd.data.commands.vocab",
            ["--size=8192", "--", "-odd.txt"],
        ),
        (["data", "vocab"], "bertd.data.commands.vocab", []),
        (["data", "inspect", "mine", "--json"], "bertd.data.commands.inspect", ["mine", "--json"]),
        (["data", "verify", "mine"], "bertd.data.commands.verify", ["mine"]),
        (["data", "fetch", "wikipedia"], "bertd.data.commands.fetch", ["wikipedia"]),
        (["bench", "demo", "--help"], "bertd.bench.__main__", ["demo", "--help"]),
        (["predict", "m", "t.csv", "--text", "a"], "bertd.glue.predict", ["m", "t.csv", "--text", "a"]),
        (["prove", "--out", "x", "--minutes", "5"], "bertd.prove.__main__", ["--out", "x", "--minutes", "5"]),
    ],
)
def test_subcommands_of_the_compute_side_pass_every_argument_on(
    arguments: list[str], module: str, passed: list[str], bertd: Bertd, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []

    def fake_execv(path: str, argv: list[str]) -> None:
        assert path == sys.executable
        became.append(argv)

    monkeypatch.setattr(os, "execv", fake_execv)
    assert bertd(*arguments).code == 0
    assert became == [[sys.executable, "-m", "bertd.program", module, *passed]]


def test_start_serves_where_it_is_told_and_ends_with_the_daemons_code(
    bertd: Bertd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served: list[tuple[Path, Path | None, bool, int | None]] = []

    def serve(sources: ConfigurationSources, *, socket: Path | None) -> int:
        loaded = read_configuration(sources)
        values = loaded.values
        served.append(
            (loaded.state_dir, socket, values.daemon.keep_running_on_stop, values.devices.finetunings_per_gpu)
        )
        return 78

    monkeypatch.setattr(service, "serve", serve)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert (
        bertd(
            "start", "--state-dir", "s", "--socket", "d.sock", "--keep-running-on-stop", "--finetunings-per-gpu", "2"
        ).code
        == 78
    )
    monkeypatch.setenv("BERTD_STATE", "/var/lib/b")
    assert bertd("start").code == 78
    assert served[:2] == [
        (tmp_path / "s", tmp_path / "d.sock", True, 2),
        (Path("/var/lib/b"), None, False, None),
    ]
    (tmp_path / "b.toml").write_text("[daemon]\nkeep_running_on_stop = true\n")
    assert bertd("start", "--config", "b.toml").code == bertd("start", "--config", "b.toml", "--pause-on-stop").code
    assert [keeps for _, _, keeps, _ in served[2:]] == [True, False]
    refused = bertd("start", "--finetunings-per-gpu", "0")
    assert refused.code == 2 and len(served) == 4

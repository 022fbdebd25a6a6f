from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.configuration.live import LiveConfiguration
from bertd.daemon.configuration.sources import ConfigurationSources, read_configuration

_OTHER_VALUES = """
[daemon]
state_dir = "/srv/other"
keep_running_on_stop = true
[devices]
finetunings_per_gpu = 3
[power]
price = 0.31
currency = "CHF"
[upgrades]
queued_jobs = "hold"

[limits]
queued_jobs_per_user = 7
[quotas]
disk_per_run = "200GB"
disk_in_all = "2TB"
[commands]
for_operators = false
[webhooks]
allowed_hosts = ["chat.example.org"]

[paths]
roots = ["/srv/data"]
[[hooks]]
name = "mail"
command = ["/bin/mail"]
on = ["done"]
"""
_APPLIES_AT_A_START = {"daemon.state_dir", "devices.finetunings_per_gpu"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "bertd.toml"
    file.write_text("")
    return file


def _start(file: Path) -> LiveConfiguration:
    sources = ConfigurationSources(folders=(), file=file)
    return LiveConfiguration(sources, read_configuration(sources), report=lambda _: None)


def test_every_key_of_a_file_applies_after_a_start(file: Path) -> None:
    file.write_text(_OTHER_VALUES)
    live = _start(file)

    assert live.values == read_configuration(ConfigurationSources(folders=(), file=file)).values
    assert not live.values.commands.for_operators
    assert all(view.value == view.read for view in live.views())


def test_a_reload_applies_every_key_but_those_of_a_start(file: Path) -> None:
    live = _start(file)
    before = {view.key: view.value for view in live.views()}
    file.write_text(_OTHER_VALUES)

    live.reload()

    views = {view.key: view for view in live.views()}
    # So that a key which is added later is in this test.
    assert {key for key, view in views.items() if view.read != before[key]} == set(views)
    assert {key for key, view in views.items() if view.value != view.read} == _APPLIES_AT_A_START

"""bertd.daemon.configuration: later sources override, each value knows its origin, and a mistake names its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.configuration.live import LiveConfiguration
from bertd.daemon.configuration.sources import ConfigurationSources, default_sources, read_configuration
from bertd.errors import ConfigurationError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_files_every_key_has_its_default(tmp_path: Path) -> None:
    loaded = read_configuration(ConfigurationSources(folders=(tmp_path, tmp_path / "none")))
    assert {origin for _, _, origin in loaded.rows()} == {"default"}
    assert loaded.values.limits.queued_jobs_per_user == 10_000


def test_a_later_source_overrides_key_by_key_and_is_named(tmp_path: Path) -> None:
    system, user = tmp_path / "etc", tmp_path / "home"
    first = write(
        system / "bertd.toml", "[daemon]\nstate_dir = '/srv/b'\n[limits]\nqueued_jobs_per_user = 5\n[devices]\n"
    )
    write(system / "bertd.toml.d" / "20.toml", "[limits]\nqueued_jobs_per_user = 20\n")
    write(system / "bertd.toml.d" / "10.toml", "[limits]\nqueued_jobs_per_user = 10\n")
    write(system / "bertd.toml.d" / "note.txt", "not TOML")
    own = write(user / "bertd.toml", "\ufeff[devices]\nfinetunings_per_gpu = 3\n")
    loaded = read_configuration(
        ConfigurationSources(folders=(system, user), options={"daemon.keep_running_on_stop": True})
    )
    assert list(loaded.rows()) == [
        ("daemon.state_dir", "/srv/b", str(first)),
        ("daemon.keep_running_on_stop", True, "--keep-running-on-stop"),
        ("devices.finetunings_per_gpu", 3, str(own)),
        ("power.price", None, "default"),
        ("power.currency", "EUR", "default"),
        ("upgrades.queued_jobs", "run", "default"),
        ("limits.queued_jobs_per_user", 20, str(system / "bertd.toml.d" / "20.toml")),
        ("quotas.disk_per_run", None, "default"),
        ("quotas.disk_in_all", None, "default"),
        ("commands.for_operators", True, "default"),
        ("paths.roots", None, "default"),
        ("webhooks.allowed_hosts", None, "default"),
        ("hooks", None, "default"),
    ]
    assert loaded.state_dir == Path("/srv/b")


def test_the_environment_overrides_files_and_an_option_both(tmp_path: Path) -> None:
    write(tmp_path / "bertd.toml", "[daemon]\nstate_dir = '/srv/b'\n")
    from_variable = ConfigurationSources(folders=(tmp_path,), environment={"BERTD_STATE": "/disk/b"})
    assert read_configuration(from_variable).state_dir == Path("/disk/b")
    both = ConfigurationSources(
        folders=(), environment={"BERTD_STATE": "/disk/b"}, options={"daemon.state_dir": "/tmp/b"}
    )
    assert read_configuration(both).state_dir == Path("/tmp/b")


def test_systemds_state_directory_is_used_where_nothing_sets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BERTD_STATE", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/bertd")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    write(tmp_path / "bertd" / "bertd.toml", "[devices]\nfinetunings_per_gpu = 2\n")
    loaded = read_configuration(default_sources(options={"daemon.state_dir": None}))
    assert (loaded.state_dir, loaded.values.devices.finetunings_per_gpu) == (Path("/var/lib/bertd"), 2)


def test_with_a_file_it_alone_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    write(tmp_path / "bertd" / "bertd.toml", "[devices]\nfinetunings_per_gpu = 2\n")
    only = write(tmp_path / "only.toml", "")
    assert read_configuration(default_sources(file=only)).values.devices.finetunings_per_gpu is None
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot read the configuration: No such file"):
        read_configuration(default_sources(file=tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[daemon", "bertd.toml: not TOML"),
        (b"[daemon]\nstate_dir = 'b'", "state_dir = 'b': give an absolute path"),
        (b'[daemon]\nstate_dir = "/a\\u0000b"', "a path has no NUL character; leave it out"),
        (b"[daemno]\n", "unknown section 'daemno'; did you mean daemon"),
        (b"[limits]\nqueued_jobs = 3", "unknown key 'queued_jobs'; did you mean queued_jobs_per_user"),
        (b"[devices]\nfinetunings_per_gpu = 0", "finetunings_per_gpu = 0: give a number at least 1"),
        (b"[daemon]\nkeep_running_on_stop = 'yes'", "keep_running_on_stop = 'yes': give true or false"),
        (b"devices = 3", "3 is not a section"),
        (b"\xff\xfe[", "is not UTF-8"),
        (b"[hooks]\nname = 'a'", "hooks is a list of tables; write [[hooks]]"),
        (b"[[hooks]]\nname = 'a'\non = ['done']", "[[hooks]] number 1: give one of command, url and unix"),
        (b"[[hooks]]\nname = 'a'\nurl = 'http://[::1'\non = ['done']", "[[hooks]] number 1: url = "),
        (b"[[hooks]]\non = ['done']\nunix = '/s'", "[[hooks]] number 1: key 'name' is missing"),
        (b"[[hooks]]\nname = 'a'\nunix = '/s'\non = ['dome']", "[[hooks]] number 1: on = 'dome': give "),
        (b"[[hooks]]\nname = 'a'\nunix = '/s'\non = ['test']", "leave out test"),
        (
            b"[[hooks]]\nname = 'a'\nunix = '/s'\non = ['done']\ncomand = []",
            "unknown key 'comand'; did you mean command",
        ),
        (b"[[hooks]]\nname = 'a'\ncommand = ['notify']\non = ['done']", "give an absolute path"),
        (b"[[hooks]]\nname = 'a'\nurl = 'http://a:b@localhost/'\non = ['done']", "give a URL without user"),
        (b"[[hooks]]\nname = 'a'\nunix = '/s'\non = ['done']\n" * 2, "two hooks are named a"),
        (b"[webhooks]\nallowed_hosts = ['A b']", "allowed_hosts = 'A b'"),
        (b"x" * 300_000, "larger than 256 KiB"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_file(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bertd.toml").write_bytes(text)
    with pytest.raises(ConfigurationError) as refused:
        read_configuration(ConfigurationSources(folders=(tmp_path,)))
    assert message in str(refused.value) and str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_may_not_be_read_or_is_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bertd.toml").mkdir()
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_configuration(ConfigurationSources(folders=(tmp_path,)))
    other = tmp_path / "other"
    other.mkdir()
    (other / "bertd.toml").symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match="No such file"):
        read_configuration(ConfigurationSources(folders=(other,)))


# ---- Reloads ----------------------------------------------------------------------------------------


def test_a_reload_applies_what_can_change_and_names_what_waits_for_a_start(tmp_path: Path) -> None:
    sources, said = ConfigurationSources(folders=(tmp_path,)), list[str]()
    live = LiveConfiguration(sources, read_configuration(sources), report=said.append)
    write(
        tmp_path / "bertd.toml",
        "[limits]\nqueued_jobs_per_user = 7\n[daemon]\nkeep_running_on_stop = true\n"
        "[devices]\nfinetunings_per_gpu = 2\n",
    )
    live.reload()
    assert live.values.limits.queued_jobs_per_user == 7
    assert live.values.daemon.keep_running_on_stop
    assert live.values.devices.finetunings_per_gpu is None
    [line] = said
    assert "queued_jobs_per_user = 7, was 10000 (bertd.toml)" in line
    assert "finetunings_per_gpu = 2, was unset (bertd.toml): applies when the daemon is started again" in line
    [waiting] = [view for view in live.views() if view.read != view.value]
    assert (waiting.key, waiting.value, waiting.read) == ("devices.finetunings_per_gpu", None, 2)


def test_a_bad_file_leaves_the_earlier_configuration(tmp_path: Path) -> None:
    file = write(tmp_path / "bertd.toml", "[limits]\nqueued_jobs_per_user = 7\n")
    sources, said = ConfigurationSources(folders=(tmp_path,)), list[str]()
    live = LiveConfiguration(sources, read_configuration(sources), report=said.append)
    file.write_text("[limits]\nqueued_jobs_per_user = 8\nand = 'more'\n")
    live.reload()
    assert live.values.limits.queued_jobs_per_user == 7
    assert "was not reloaded, and the earlier one still applies" in said[0] and "unknown key 'and'" in said[0]
    file.write_text("[limits]\nqueued_jobs_per_user = 7\n")
    live.reload()
    assert said[1] == "the configuration was reloaded: nothing has changed"


# ---- Hooks ------------------------------------------------------------------------------------------

CHAT = "[[hooks]]\nname = 'chat'\nurl = 'https://chat.example.org/k{key}'\non = ['failed']\n"


def test_the_hooks_of_a_later_file_replace_those_of_an_earlier_one(tmp_path: Path) -> None:
    write(tmp_path / "bertd.toml", "[[hooks]]\nname = 'mail'\ncommand = ['/bin/mail', 'secret']\non = ['done']\n")
    sources = ConfigurationSources(folders=(tmp_path,))
    assert list(read_configuration(sources).rows())[-1] == ("hooks", "mail (/bin/mail)", str(tmp_path / "bertd.toml"))
    later = write(tmp_path / "bertd.toml.d" / "10.toml", "[[hooks]]\nname = 'panel'\nunix = '/s'\non = ['done']\n")
    loaded = read_configuration(sources)
    assert [hook.name for hook in loaded.values.hooks] == ["panel"]
    assert list(loaded.rows())[-1] == ("hooks", "panel (/s)", str(later))


def test_a_host_beyond_the_machine_must_be_allowed_in_whichever_file(tmp_path: Path) -> None:
    own = write(tmp_path / "bertd.toml", CHAT.format(key=1))
    sources = ConfigurationSources(folders=(tmp_path,))
    with pytest.raises(ConfigurationError, match="chat: url: chat.example.org is not this machine; add it") as refused:
        read_configuration(sources)
    assert str(refused.value).startswith(str(own))
    write(tmp_path / "bertd.toml.d" / "10.toml", "[webhooks]\nallowed_hosts = ['chat.example.org', 'b.example.org']\n")
    loaded = read_configuration(sources)
    values = {key: value for key, value, _ in loaded.rows()}
    assert values["webhooks.allowed_hosts"] == "chat.example.org, b.example.org"
    assert values["hooks"] == "chat (https://chat.example.org/...)"


def test_a_change_of_what_is_not_shown_of_a_hook_is_a_change(tmp_path: Path) -> None:
    allowed = "[webhooks]\nallowed_hosts = ['chat.example.org']\n"
    write(tmp_path / "bertd.toml", allowed + CHAT.format(key=1))
    sources, said = ConfigurationSources(folders=(tmp_path,)), list[str]()
    live = LiveConfiguration(sources, read_configuration(sources), report=said.append)
    write(tmp_path / "bertd.toml", allowed + CHAT.format(key=2))
    live.reload()
    assert live.values.hooks[0].url == "https://chat.example.org/k2"
    assert "hooks = chat (https://chat.example.org/...)" in said[0] and "k2" not in said[0]

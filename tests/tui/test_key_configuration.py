"""Keys of the user's tui.toml: used, shown, and refused with what to do where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.errors import ConfigurationError
from tests.tui.fake_feed import FakeFeed
from tests.tui.screen_text import screen_lines, screen_text
from tui.actions.keys import KEYS_BY_ID, VIEW_TABLES, ChosenKeys, KeyChoices, guarded_keys
from tui.app import main
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.key_configuration import key_file, read_keys
from tui.screens.confirm import ConfirmDialog
from tui.screens.help import HelpScreen
from tui.screens.queue import QueueScreen
from tui.snapshot import Feed

SIZE = (120, 40)


def _write(folder: Path, text: str) -> Path:
    path = folder / "tui.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_is_below_the_configuration_folder_of_the_user() -> None:
    assert key_file({"XDG_CONFIG_HOME": "/etc/me"}) == Path("/etc/me/bertd/tui.toml")
    assert key_file({}) == Path.home() / ".config/bertd/tui.toml"


def test_without_a_file_the_keys_are_those_of_the_table(tmp_path: Path) -> None:
    assert read_keys(tmp_path / "tui.toml") == {}
    assert read_keys(_write(tmp_path, "[keys]\n")) == {}


def test_each_name_of_an_action_stands_for_one() -> None:
    named = [key for table in VIEW_TABLES for key in table if key.id]
    assert all(KEYS_BY_ID[key.id] is key for key in named)


def test_a_key_is_a_character_or_a_name(tmp_path: Path) -> None:
    path = _write(tmp_path, '[keys]\nstop = ["X", "ctrl+x"]\nhelp = "+"\nzoom-in = "f5"\n')
    assert read_keys(path) == {
        "stop": ChosenKeys("X,ctrl+x", "X"),
        "help": ChosenKeys("plus", "+"),
        "zoom-in": ChosenKeys("f5", "f5"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[keys]\nstopp = "X"', "unknown action 'stopp'; known: pause-or-resume, "),
        ('[keys]\nstop = "foo"', "stop: unknown key 'foo'; give one character, or a name such as f5"),
        ('[keys]\nstop = ""', "stop: unknown key ''"),
        ('[keys]\nstop = "a,b"', "stop: unknown key 'a,b'"),
        ("[keys]\nstop = 5", 'stop: give a key as "X"'),
        ("[keys]\nstop = []", 'stop: give a key as "X"'),
        ('[keys]\nstop = "ctrl+c"', "stop: ctrl+c always quits; choose another key"),
        ('[keys]\nstop = "c"', "c is the key of checkpoint and of stop; give one of them another key"),
        ('[keys]\nhold = "c"', "c is the key of checkpoint and of hold"),
        ('[keys]\nstop = "X"\nundo = ["U", "X"]', "X is the key of stop and of undo"),
        ('[keys]\nstop = "j"', 'j is the key of stop and of "move by a line", which cannot be changed'),
        ("[kees]", "unknown section or key 'kees'; known: [keys]"),
        ("keys = 1", "keys is a section"),
        ("[keys", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(text: str, said: str, tmp_path: Path) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_keys(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_key_of_two_views_and_two_keys_that_change_places_are_no_clash(tmp_path: Path) -> None:
    read_keys(_write(tmp_path, '[keys]\nhold = "X"\ndrain-or-undrain = "X"\n'))
    read_keys(_write(tmp_path, '[keys]\ncheckpoint = "p"\npause-or-resume = "c"\n'))


def test_a_wrong_file_ends_the_start_with_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "bertd").mkdir()
    path = _write(tmp_path / "bertd", '[keys]\nstopp = "X"\n')
    assert main(["--demo"]) == 78
    assert f"bert-tui: {path}: [keys]: unknown action 'stopp'" in capsys.readouterr().err


async def test_a_changed_key_acts_and_is_shown_and_the_old_one_is_free() -> None:
    keys = {
        "pause-or-resume": ChosenKeys("X", "X"),
        "help": ChosenKeys("exclamation_mark", "!"),
        "hold": ChosenKeys("f5", "f5"),
    }
    app = Dashboard(FakeFeed(), options=DisplayOptions(keys=keys))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("p")
        assert not isinstance(app.screen, ConfirmDialog)
        assert "X pause" in screen_lines(app)[-1]
        assert "! help" in screen_lines(app)[-1]
        await pilot.press("X")
        assert isinstance(app.screen, ConfirmDialog)
        await pilot.press("escape", "exclamation_mark")
        assert isinstance(app.screen, HelpScreen)
        assert "        X   pause with a checkpoint, or resume" in screen_text(app)
        await pilot.press("exclamation_mark", "2")
        assert isinstance(app.screen, QueueScreen)
        assert "f5 hold" in screen_lines(app)[-1]


def test_a_changed_key_that_acts_is_refused_in_a_pasted_text_too() -> None:
    keys = {"checkpoint": ChosenKeys("plus,f5,ctrl+x", "+")}
    assert {"plus"} == guarded_keys(keys) - guarded_keys({})
    assert "c" not in guarded_keys(keys)


def test_the_file_is_read_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[KeyChoices] = []

    def run(feed: Feed, options: DisplayOptions, **rest: object) -> int:
        seen.append(options.keys)
        return 0

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("tui.app._run_dashboard", run)
    (tmp_path / "bertd").mkdir()
    _write(tmp_path / "bertd", '[keys]\nstop = "X"\n')
    assert main(["--demo"]) == 0
    assert seen == [{"stop": ChosenKeys("X", "X")}]

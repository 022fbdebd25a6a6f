"""README.md and CONTRIBUTING.md are true: commands, paths and exit codes exist, the map is the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertd.cli import app, exit_codes
from bertd.cli.commands import programs
from bertd.cli.commands.daemon import hooks, service
from bertd.cli.commands.scoring import glue_submission

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST_SCREEN = README.partition("## Use it")[0]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
_FOLDERS = ("bertd", "tui", "tests", "docs", "recipes", "systemd", r"\.ci")


def _verbs() -> list[str]:
    names = [command.name for command in app.app.registered_commands if command.name]
    groups = {
        "data": programs.data_app,
        "glue": glue_submission.glue_app,
        "hooks": hooks.hooks_app,
        "service": service.service_app,
    }
    return [*names, "hooks"] + [
        f"{name} {verb.name}" for name, group in groups.items() for verb in group.registered_commands
    ]


def _map() -> list[str]:
    """The entries of the map of the tree; an entry may continue on an indented line."""
    text = README.partition("tests/test_readme.py holds")[2].split("```")[1].partition("\n")[2]
    return re.sub(r"\n +", " ", text).splitlines()


@pytest.mark.parametrize("verb", _verbs())
def test_every_command_is_in_the_table(verb: str) -> None:
    assert re.search(rf"^\| `bertd {verb}\b", README, re.MULTILINE), f"bertd {verb} is missing from README.md"


def test_every_command_in_the_readme_exists() -> None:
    named = set(re.findall(r"`bertd ((?:data |glue |hooks (?=test)|service )?[a-z][a-z0-9-]*)", README))
    assert named <= set(_verbs())


def test_every_option_in_the_table_exists() -> None:
    files = [
        *(ROOT / "bertd" / "cli").rglob("*.py"),
        *(ROOT / "bertd" / name / "__main__.py" for name in ("bench", "prove")),
    ]
    source = "".join(path.read_text() for path in files)
    for row in re.findall(r"^\| `bertd .*$", README, re.MULTILINE):
        for option in re.findall(r"--[a-z][a-z-]*|(?<=`)-[a-z]\b", row):
            assert f'"{option}"' in source, f"{option} in: {row}"


def test_the_exit_codes_are_the_real_ones() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", README, re.MULTILINE))
    assert {int(code): meaning for code, meaning in rows.items()} == exit_codes.MEANINGS


def test_the_first_screen_says_how_to_try_it() -> None:
    without_output = re.sub(r"```text.*?```", "", FIRST_SCREEN, flags=re.DOTALL)
    assert len(without_output.splitlines()) <= 40
    targets = re.findall(r"^    make (\w+)", FIRST_SCREEN, re.MULTILINE)
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    for target in [*targets, "check"]:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_path_in_the_map_exists() -> None:
    for line in _map():
        first, *rest = line.split()
        named = line.split() if line.startswith("README.md") else [first]
        for path in named:
            assert (ROOT / path).exists(), f"{path} in the map"
        folder = ROOT / first if first.endswith("/") else (ROOT / first).parent
        for word in rest:
            if (name := word.strip(",;:()")).endswith((".py", ".toml", ".tcss")) and line not in named:
                assert (folder / name).is_file() or (ROOT / name).is_file(), f"{name} in: {line}"


def test_every_package_is_in_the_map() -> None:
    packages = {
        f"{file.parent.relative_to(ROOT)}/" for top in ("bertd", "tui") for file in (ROOT / top).rglob("__init__.py")
    }
    assert packages == {line.split()[0] for line in _map() if (ROOT / line.split()[0] / "__init__.py").exists()} - {
        "tests/"
    }


def test_every_test_that_holds_a_promise_exists() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)`", README)
    assert len(named) > 7
    for path in named:
        assert (ROOT / path).is_file(), path


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_path_that_contributing_names_exists() -> None:
    named = re.findall(rf"(?<![\w/])((?:{'|'.join(_FOLDERS)})/[\w./-]*\w/?|[\w.]+\.(?:md|toml))", CONTRIBUTING)
    assert len(named) > 50
    for path in named:
        assert (ROOT / path).exists(), path


def test_every_recipe_is_named() -> None:
    for recipe in (ROOT / "recipes").glob("*.toml"):
        assert recipe.stem in README

"""docs/coming-from.md names keys that recipes have, and flags that the installed transformers has."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

from bertd.run.recipe.schema import Recipe, RecipeSection
from tests.docs.command_lines import ROOT

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")


def _rows(heading: str) -> list[tuple[str, str]]:
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    return re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section, re.MULTILINE)


def test_every_key_exists() -> None:
    keys = set()
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        assert isinstance(section, type) and issubclass(section, RecipeSection)
        keys |= {f"{name}.{key}" for key in section.model_fields}
    cells = [here for heading in ("From `tr", "From Comp", "From acad") for _, here in _rows(heading)]
    assert len(cells) > 70
    named = {word for cell in cells for word in re.findall(r"`([a-z_]+\.[a-z_]+)`", cell)}
    assert named <= keys


def test_every_argument_of_the_trainer_exists() -> None:
    spec = importlib.util.find_spec("transformers")
    assert spec is not None and spec.submodule_search_locations is not None
    source = (Path(spec.submodule_search_locations[0]) / "training_args.py").read_text(encoding="utf-8")
    [arguments] = [
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments"
    ]
    known = {
        each.target.id
        for each in arguments.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    named = {word for there, _ in _rows("From `tr") for word in re.findall(r"`(\w+)`", there)}
    assert len(named) > 30
    assert named <= known

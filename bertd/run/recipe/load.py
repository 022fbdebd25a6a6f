"""Find recipe files by name or path; read, override and write them.

Every mistake is reported on one line, with file, key, value and remedy.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import tomli_w
from pydantic import ValidationError

import bertd
from bertd.errors import RecipeError
from bertd.run.bounded_read import open_regular
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import Recipe
from bertd.validation_text import describe_mistakes

MAX_RECIPE_BYTES = 256 * 1024


def recipe_folders() -> list[Path]:
    """Folders of the recipes that ship with bertd: in the wheel, or in a source checkout."""
    package = Path(bertd.__file__).parent
    return [package / "recipes", package.parent / "recipes"]


def list_recipes() -> list[str]:
    """Names of the recipes that ship with bertd."""
    return sorted({entry.stem for folder in recipe_folders() for entry in folder.glob("*.toml")})


def find_recipe(name_or_path: str) -> Path:
    """The file of a recipe given by path, or by the name of one that ships with bertd.

    Raises:
        RecipeError: neither exists; the message lists the known names.
    """
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise RecipeError(f"{name_or_path}: cannot look for the recipe: {error.strerror}") from error
    for folder in recipe_folders():
        candidate = folder / f"{name_or_path}.toml"
        if path.name == name_or_path and candidate.is_file():
            return candidate
    raise RecipeError(f"{name_or_path}: no such file, nor a recipe of bertd; those are: {', '.join(list_recipes())}")


def read_recipe(path: Path, *, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe file and apply overrides.

    Args:
        path: a TOML file.
        overrides: `section.key=value`, the value as in TOML; a bare word is a string.

    Raises:
        RecipeError: unreadable, not TOML, unknown key, wrong type or out of range.
    """
    # Every run has a recipe of this name; one of a person is shown as it was named, and may be a pipe of a shell.
    is_of_run = path.name == RunPaths(path.parent).recipe.name and path.is_absolute()
    try:
        if is_of_run:
            os.close(open_regular(path, follow_link=True))
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: cannot read the recipe: it is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot read the recipe: {error.strerror}; check the path and its permissions"
        ) from error
    return parse_recipe(text, name=str(path) if is_of_run else path.name, overrides=overrides)


def parse_recipe(text: str, *, name: str, overrides: list[str] | None = None) -> Recipe:
    """Parse a recipe's text; `name` stands for the file in messages.

    Raises:
        RecipeError: not TOML, unknown key, wrong type or out of range.
    """
    if len(text.encode()) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{name}: larger than {MAX_RECIPE_BYTES // 1024} KiB; a recipe is a page of TOML")
    try:
        tree: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of thousands of digits is a plain ValueError.
        raise RecipeError(f"{name}: not TOML: {error}") from error
    _check_budget_overrides(overrides or [])
    for override in overrides or []:
        _apply_override(tree, override=override)
    try:
        # Through JSON: strict mode accepts a list for a tuple only from JSON.
        return Recipe.model_validate_json(json.dumps(tree, default=str))
    except RecursionError as error:
        raise RecipeError(f"{name}: nested too deeply; a recipe is sections of keys") from error
    except ValidationError as error:
        raise RecipeError(describe_mistakes(error, name=name, model=Recipe)) from error


def format_recipe(recipe: Recipe) -> str:
    """TOML text that `parse_recipe` reads back as an equal recipe."""
    tree = recipe.model_dump(mode="json", exclude_none=True)
    return tomli_w.dumps(tree)


def with_device_count(text: str, count: int) -> str:
    """Change devices.count in the text of a run's recipe.

    Every other key stays and none is added: checkpoints identify the run's recipe by its keys.
    """
    tree: dict[str, dict[str, object]] = tomllib.loads(text)
    tree.setdefault("devices", {})["count"] = count
    return tomli_w.dumps(tree)


def _check_budget_overrides(overrides: list[str]) -> None:
    """Check that the overrides give one budget: each replaces that of the file, and a second one the first.

    Raises:
        RecipeError: they give several.
    """
    keys = [override.partition("=")[0].strip() for override in overrides]
    units = sorted({key for key in keys if key.startswith("budget.")})
    if len(units) > 1:
        raise RecipeError(f"--set {' and '.join(units)}: a run has one budget; give one of them")


def _apply_override(tree: dict[str, object], *, override: str) -> None:
    key, equals, text = override.partition("=")
    section, dot, field = key.strip().partition(".")
    if not equals or not dot or not section or not field:
        raise RecipeError(f"--set {override}: write section.key=value, such as optimizer.peak_lr=1e-3")
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise RecipeError(f"--set {section}.{field}: nested too deeply; give one value") from error
    except ValueError:
        value = text.strip()
    table = tree.setdefault(section, {})
    if not isinstance(table, dict):
        raise RecipeError(f"--set {override}: {section} is not a section")
    if section == "budget":
        # A budget has one unit; the override replaces the file's.
        table.clear()
    table[field] = value

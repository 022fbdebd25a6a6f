"""Sweep files: a recipe, axes of values, and the charged times at which the worse settings end.

    [sweep]
    name = "lr-search"
    recipe = "24hbert"             # a recipe of bertd, or a path next to this file
    end = "24h"                    # charged time after which the settings are ranked
    rungs = [{ at = "3h", max_loss = 6.0 }, { at = "12h", keep = 0.5 }]
    # or successive halving: halving = { first = "3h", factor = 2 }

    [set]                          # for all settings
    "data.shards" = "wiki-books"

    [grid]                         # every combination is one setting
    "optimizer.peak_lr" = [1e-3, 2e-3]
    "schedule.warmup" = [0.02, 0.06]

Every combination is checked as a recipe before anything is queued.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue, PositiveFloat, ValidationError

from bertd.errors import RecipeError
from bertd.records import SweepRung, SweepSpec
from bertd.run.amounts.durations import format_duration, parse_duration
from bertd.run.recipe.load import MAX_RECIPE_BYTES, recipe_folders
from bertd.run.recipe.schema import Duration, Recipe, RecipeSection, RunSection
from bertd.run.recipe.sweep_grid import Setting, format_value
from bertd.run.recipe.sweep_rungs import check_rungs, num_kept
from bertd.validation_text import describe_problem

_REFUSED_AXES = {
    "run.seed": "a seed is not a setting, and the luckiest one would win; train the winner with several seeds",
    "run.name": "the sweep names its runs",
}
_NUMBER_SUFFIX = "-0000"
"""What the names of the runs have in addition to the sweep's."""


class _Rung(RecipeSection):
    at: Duration
    keep: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_loss: PositiveFloat | None = None


class _Halving(RecipeSection):
    first: Duration
    factor: Annotated[int, Field(ge=2, le=100)] = 2
    """One in this many settings continues, for this many times as long. Source: Jamieson & Talwalkar 2016."""


class _SweepSection(RecipeSection):
    name: str
    recipe: Annotated[str, Field(min_length=1)]
    end: Duration | None = None
    rungs: list[_Rung] = []
    halving: _Halving | None = None


class _SweepTree(RecipeSection):
    sweep: _SweepSection
    set: dict[str, JsonValue] = {}
    grid: dict[str, JsonValue] = {}


@dataclass(frozen=True)
class SweepFile:
    """A sweep file as it was read; nothing of its recipe is known yet."""

    name: str
    """Of the file, in messages."""
    recipe: str
    """Its base recipe: a path, or the name of a recipe of bertd."""
    spec: SweepSpec
    halving: _Halving | None


def find_sweep(name_or_path: str) -> Path:
    """The file of a sweep given by path, or by the name of one that ships with bertd.

    Raises:
        RecipeError: neither exists; the message lists the known names.
    """
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise RecipeError(f"{name_or_path}: cannot look for the sweep: {error.strerror}") from error
    folders = [folder / "sweeps" for folder in recipe_folders()]
    for folder in folders:
        if path.name == name_or_path and (folder / f"{name_or_path}.toml").is_file():
            return folder / f"{name_or_path}.toml"
    known = sorted({entry.stem for folder in folders for entry in folder.glob("*.toml")})
    raise RecipeError(f"{name_or_path}: no such file, nor a sweep of bertd; those are: {', '.join(known)}")


def read_sweep(path: Path) -> tuple[str, SweepFile]:
    """The text of a sweep file, and what it says.

    Raises:
        RecipeError: it cannot be read, or is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except (UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{path}: cannot read the sweep: {error}; save it as UTF-8 text") from error
    return text, parse_sweep(text, name=path.name)


def parse_sweep(text: str, *, name: str) -> SweepFile:
    """Parse a sweep file's text; `name` stands for the file in messages.

    Raises:
        RecipeError: not TOML, unknown or repeated key, an axis without a choice, or rungs that do not rise.
    """
    if len(text.encode()) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{name}: larger than {MAX_RECIPE_BYTES // 1024} KiB; a sweep is a page of TOML")
    try:
        tree = _SweepTree.model_validate_json(json.dumps(tomllib.loads(text), default=str))
    except ValidationError as error:
        raise RecipeError(f"{name}: {'; '.join(_describe(detail) for detail in error.errors()[:4])}") from error
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{name}: not TOML: {error}") from error
    fixed, grid = _flatten(tree.set, section="set", name=name), _flatten(tree.grid, section="grid", name=name)
    section = tree.sweep
    _check_name(section.name, name=name)
    _check_keys(fixed, grid, name=name)
    spec = SweepSpec(
        name=section.name,
        end_s=None if section.end is None else parse_duration(section.end),
        rungs=[
            SweepRung(at_s=parse_duration(rung.at), keep=rung.keep, max_loss=rung.max_loss) for rung in section.rungs
        ],
        fixed=fixed,
        grid={key: _axis(key, values, name=name) for key, values in grid.items()},
    )
    if section.halving is not None and section.rungs:
        raise RecipeError(f"{name}: [sweep] has rungs and halving; give one of them")
    return SweepFile(name=name, recipe=section.recipe, spec=spec, halving=section.halving)


def resolve_sweep(file: SweepFile, settings: list[Setting]) -> SweepSpec:
    """The sweep with its end and its rungs, once the budgets of its settings are known.

    Raises:
        RecipeError: settings would be compared after unequal times, or end before a rung.
    """
    totals = [setting.recipe.granted.total_s for setting in settings]
    end_s = file.spec.end_s
    if end_s is None and None not in totals:
        if len(set(totals)) > 1:
            raise RecipeError(f"{file.name}: the budgets of the settings differ; give [sweep] end, such as 24h")
        end_s = totals[0]
    rungs = file.spec.rungs
    if file.halving is not None:
        if end_s is None:
            raise RecipeError(f"{file.name}: [sweep] halving compares by time; give a budget of hours")
        rungs = _halving_rungs(file.halving, end_s=end_s, num_settings=len(settings))
        if not rungs:
            raise RecipeError(
                f"{file.name}: [sweep] halving: first = {file.halving.first} is not before the end, "
                f"{format_duration(end_s)}; give less"
            )
    spec = file.spec.model_copy(update={"end_s": end_s, "rungs": rungs})
    check_rungs(spec, settings, name=file.name)
    return spec


def _halving_rungs(halving: _Halving, *, end_s: float, num_settings: int) -> list[SweepRung]:
    rungs, at_s, number = [], parse_duration(halving.first), num_settings
    while at_s < end_s and number > 1:
        rungs.append(SweepRung(at_s=at_s, keep=1 / halving.factor))
        number = num_kept(number, keep=1 / halving.factor)
        at_s *= halving.factor
    return rungs


def _flatten(table: dict[str, JsonValue], *, section: str, name: str) -> dict[str, JsonValue]:
    """section.key to value, from quoted keys and from nested tables.

    Raises:
        RecipeError: a key is not of a section, or is given in both forms.
    """
    flat: dict[str, JsonValue] = {}
    for key, value in table.items():
        pairs = {f"{key}.{field}": each for field, each in value.items()} if isinstance(value, dict) else {key: value}
        for path, each in pairs.items():
            if path in flat:
                raise RecipeError(f"{name}: [{section}]: {path} is given twice; give it once")
            flat[path] = each
    return flat


def _check_name(text: str, *, name: str) -> None:
    try:
        RunSection.model_validate({"name": text + _NUMBER_SUFFIX})
    except ValidationError as error:
        rule = f"give up to {64 - len(_NUMBER_SUFFIX)} letters, digits, dots, dashes and underscores"
        raise RecipeError(f"{name}: [sweep] name = {text[:80]!r}: {rule}; the first is a letter or a digit") from error


def _check_keys(fixed: dict[str, JsonValue], grid: dict[str, JsonValue], *, name: str) -> None:
    for section, keys in (("set", fixed), ("grid", grid)):
        for key in keys:
            _check_key(key, place=f"{name}: [{section}]")
    for key in grid:
        if key in _REFUSED_AXES:
            raise RecipeError(f"{name}: [grid]: {key}: {_REFUSED_AXES[key]}")
        if key in fixed:
            raise RecipeError(f"{name}: {key} is in [set] and in [grid]; give it once")
    if "run.name" in fixed:
        raise RecipeError(f"{name}: [set]: run.name: {_REFUSED_AXES['run.name']}")
    if len(budgets := sorted(key for key in (*fixed, *grid) if key.startswith("budget."))) > 1:
        raise RecipeError(f"{name}: {' and '.join(budgets)}: a run has one budget; give one of them")


def _check_key(key: str, *, place: str) -> None:
    known = []
    for section, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            known += [f"{section}.{each}" for each in field.annotation.model_fields]
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "write section.key as in a recipe, such as optimizer.peak_lr"
    raise RecipeError(f"{place}: unknown key {key[:80]!r}; {hint}")


def _axis(key: str, values: JsonValue, *, name: str) -> list[JsonValue]:
    if not isinstance(values, list):
        raise RecipeError(
            f"{name}: [grid]: {key} = {format_value(values)}: give a list of values, or put it into [set]"
        )
    if not values:
        raise RecipeError(f"{name}: [grid]: {key} has no value, so there is no setting; give at least two")
    if len(values) == 1:
        raise RecipeError(f"{name}: [grid]: {key} has one value, so it is no choice; put it into [set]")
    texts = [format_value(value) for value in values]
    if repeated := next((text for text in texts if texts.count(text) > 1), None):
        raise RecipeError(f"{name}: [grid]: {key} has {repeated} twice; give each value once")
    return values


def _describe(detail: object) -> str:
    assert isinstance(detail, dict)
    places = [str(part) for part in detail["loc"]]
    value = "" if detail["type"] in ("missing", "extra_forbidden") else f" = {format_value(detail['input'])[:60]}"
    where = f"[{places[0]}] {'.'.join(places[1:])}{value}" if len(places) > 1 else f"[{places[0]}]"
    if detail["type"] == "extra_forbidden":
        known = _SweepTree.model_fields if len(places) == 1 else _SweepSection.model_fields
        return f"{where}: unknown" + (f"; known: {', '.join(known)}" if len(places) < 3 else "; leave it out")
    return f"{where}: {describe_problem(detail)}"

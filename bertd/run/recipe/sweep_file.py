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
import itertools
import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tomli_w
from pydantic import BaseModel, Field, JsonValue, PositiveFloat, ValidationError

from bertd.errors import RecipeError
from bertd.records import SweepRung, SweepSpec
from bertd.run.durations import format_duration, parse_duration
from bertd.run.recipe.load import MAX_RECIPE_BYTES, parse_recipe, recipe_folders
from bertd.run.recipe.schema import Duration, Recipe, RecipeSection, RunSection
from bertd.validation_text import describe_problem

MAX_SETTINGS = 1_000
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


@dataclass(frozen=True)
class Setting:
    """One combination of the grid's values."""

    number: int
    """From 1, in the order of the file, the last axis changing first."""
    values: dict[str, str]
    """section.key to its value as text."""
    overrides: list[str]
    """What makes its recipe of the base recipe, as `section.key=value`."""
    recipe: Recipe


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


def expand_settings(spec: SweepSpec, *, recipe_toml: str, recipe_name: str, name: str) -> list[Setting]:
    """Every combination, each checked as a recipe.

    Raises:
        RecipeError: one of them is wrong, which is named, or there are none or too many.
    """
    number = math.prod(len(choices) for choices in spec.grid.values())
    if not spec.grid or not number:
        raise RecipeError(f"{name}: [grid] has no setting; give at least one key with two values")
    if number > MAX_SETTINGS:
        raise RecipeError(f"{name}: [grid] has {number:,} settings; give at most {MAX_SETTINGS:,}")
    fixed = [f"{key}={_toml(key, value, name=name)}" for key, value in spec.fixed.items()]
    settings = []
    for index, combination in enumerate(itertools.product(*spec.grid.values()), start=1):
        chosen = dict(zip(spec.grid, combination, strict=True))
        values = {key: _value_text(value) for key, value in chosen.items()}
        overrides = [f"run.name={json.dumps(f'{spec.name}-{index:03d}')}", *fixed]
        overrides += [f"{key}={_toml(key, value, name=name)}" for key, value in chosen.items()]
        try:
            recipe = parse_recipe(recipe_toml, name=recipe_name, overrides=overrides)
        except RecipeError as error:
            text = ", ".join(f"{key}={value}" for key, value in values.items())
            raise RecipeError(f"{name}: setting {index} of {number} ({text}): {error}") from error
        settings.append(Setting(number=index, values=values, overrides=overrides, recipe=recipe))
    return settings


def setting_values(spec: SweepSpec) -> list[dict[str, str]]:
    """The values of each setting as text, by section.key."""
    return [
        {key: _value_text(value) for key, value in zip(spec.grid, combination, strict=True)}
        for combination in itertools.product(*spec.grid.values())
    ]


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


def check_rungs(spec: SweepSpec, settings: list[Setting], *, name: str) -> None:
    """Check that every setting reaches each rung and the end.

    Raises:
        RecipeError: one does not.
    """
    if spec.end_s is None and not spec.rungs:
        return
    for setting in settings:
        total_s = setting.recipe.granted.total_s
        if total_s is None:
            unit = setting.recipe.budget.unit
            raise RecipeError(f"{name}: setting {setting.number}: rungs and end are times, its budget is in {unit}")
        if spec.end_s is None or total_s < spec.end_s:
            raise RecipeError(
                f"{name}: setting {setting.number}: its budget is {format_duration(total_s)}, and it would end before "
                f"the sweep, {format_duration(spec.end_s or 0)}; give [sweep] end, or a larger budget"
            )
    times = [rung.at_s for rung in spec.rungs]
    for rung in spec.rungs:
        if rung.keep is None and rung.max_loss is None:
            raise RecipeError(
                f"{name}: [sweep] rungs: {format_duration(rung.at_s)} ends nothing; give keep or max_loss"
            )
    if times != sorted(set(times)) or (times and spec.end_s is not None and times[-1] >= spec.end_s):
        shown = ", ".join(format_duration(at_s) for at_s in times)
        end = "" if spec.end_s is None else f", the last before the end, {format_duration(spec.end_s)}"
        raise RecipeError(f"{name}: [sweep] rungs at {shown}: let each be later than the one before{end}")


def pause_mark_s(spec: SweepSpec, recipe: Recipe, *, rung: int) -> float | None:
    """Charged seconds at which a run on its way to a rung pauses; None if its budget ends it.

    Args:
        rung: index of the rung; the number of rungs stands for the end.
    """
    if rung < len(spec.rungs):
        return spec.rungs[rung].at_s
    total_s = recipe.granted.total_s
    return None if spec.end_s is None or total_s is None or total_s <= spec.end_s else spec.end_s


def most_charged_s(spec: SweepSpec, *, num_settings: int, end_s: float) -> float:
    """The most that all runs together are charged: each max_loss drops nothing, each keep its share."""
    total_s, before_s, number = 0.0, 0.0, num_settings
    for rung in spec.rungs:
        total_s += number * (rung.at_s - before_s)
        before_s = rung.at_s
        number = num_kept(number, keep=rung.keep)
    return total_s + number * (end_s - before_s)


def num_kept(number: int, *, keep: float | None) -> int:
    """How many of so many settings continue; at least one."""
    # A share such as 1/3 is rounded in binary: of 9 settings 3 continue, not 4.
    return number if keep is None else max(1, -int(-(number * keep - 1e-9) // 1)) if number else 0


def map_paths(spec: SweepSpec, change: Callable[[str, str], str]) -> SweepSpec:
    """The sweep with the texts of data.shards and model.start_from changed by `change(key, text)`."""

    def mapped(key: str, value: JsonValue) -> JsonValue:
        is_path = key in ("data.shards", "model.start_from") and isinstance(value, str)
        return change(key, value) if is_path and isinstance(value, str) else value

    return spec.model_copy(
        update={
            "fixed": {key: mapped(key, value) for key, value in spec.fixed.items()},
            "grid": {key: [mapped(key, value) for value in values] for key, values in spec.grid.items()},
        }
    )


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
        raise RecipeError(f"{name}: [grid]: {key} = {_value_text(values)}: give a list of values, or put it into [set]")
    if not values:
        raise RecipeError(f"{name}: [grid]: {key} has no value, so there is no setting; give at least two")
    if len(values) == 1:
        raise RecipeError(f"{name}: [grid]: {key} has one value, so it is no choice; put it into [set]")
    texts = [_value_text(value) for value in values]
    if repeated := next((text for text in texts if texts.count(text) > 1), None):
        raise RecipeError(f"{name}: [grid]: {key} has {repeated} twice; give each value once")
    return values


def _describe(detail: object) -> str:
    assert isinstance(detail, dict)
    places = [str(part) for part in detail["loc"]]
    value = "" if detail["type"] in ("missing", "extra_forbidden") else f" = {_value_text(detail['input'])[:60]}"
    where = f"[{places[0]}] {'.'.join(places[1:])}{value}" if len(places) > 1 else f"[{places[0]}]"
    if detail["type"] == "extra_forbidden":
        known = _SweepTree.model_fields if len(places) == 1 else _SweepSection.model_fields
        return f"{where}: unknown" + (f"; known: {', '.join(known)}" if len(places) < 3 else "; leave it out")
    return f"{where}: {describe_problem(detail)}"


def _toml(key: str, value: JsonValue, *, name: str) -> str:
    if value is None:
        raise RecipeError(f"{name}: {key} = null: give a value, or leave the key out")
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def _value_text(value: object) -> str:
    """A value as text, on one line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)

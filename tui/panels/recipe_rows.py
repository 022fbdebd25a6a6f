"""A recipe, a row for each key: value, default, where the value comes from."""

from __future__ import annotations

from collections.abc import Sequence

from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, Span, cell, heading, line, wrap_words
from tui.recipe_keys import RecipeKey

_SOURCE_CELLS = 9
_MIN_DEFAULT_WIDTH = 76
"""From this width the default has a column."""


def draw(
    keys: Sequence[RecipeKey] | None, options: DisplayOptions, width: int, *, name: str, note: str, num_all: int
) -> list[Line]:
    """A heading and a row for each key; `note` says why there are none."""
    title = f"Recipe of {name}" if name else "Recipe"
    num_set = sum(not key.is_default for key in keys or ())
    summary = "" if keys is None else f"{num_set} of {num_all} keys are not the default"
    if keys is not None and len(keys) < num_all:
        summary = f"{len(keys)} of {num_all} keys"
    head = heading(title, line((summary, Role.MUTED)), width=width, rule=options.glyphs.rule)
    if keys is None:
        return [head, line((note, Role.MUTED))]
    return [head, *(_row(key, width) for key in keys)]


def draw_key(key: RecipeKey | None, options: DisplayOptions, width: int) -> list[Line]:
    """One key in full, with what it means."""
    if key is None:
        return []
    head = heading(key.key, line((key.source, Role.MUTED)), width=width, rule=options.glyphs.rule)
    facts = [
        ("value", key.value, Role.STRONG),
        ("default", key.default, Role.TEXT),
        ("meaning", key.meaning, Role.TEXT),
    ]
    return [
        head,
        *(
            line(cell(label if number == 0 else "", 9, Role.MUTED), (text, role))
            for label, content, role in facts
            if content
            for number, text in enumerate(wrap_words(content, max(20, width - 9)))
        ),
    ]


def _row(key: RecipeKey, width: int) -> Line:
    """The default only where it is another one, so that what somebody chose stands out."""
    name_cells = min(30, max(24, width // 3))
    has_default = width >= _MIN_DEFAULT_WIDTH
    value_cells = (
        (width - name_cells - _SOURCE_CELLS - 1) * (1 if not has_default else 3) // (1 if not has_default else 5)
    )
    spans: list[Span] = [
        cell(key.key, name_cells, Role.MUTED if key.is_default else Role.TEXT),
        cell(key.source, _SOURCE_CELLS, Role.FAINT if key.is_default else Role.WAITING),
        cell(key.value, value_cells, Role.TEXT if key.is_default else Role.STRONG),
    ]
    if has_default and not key.is_default:
        spans += [Span(" "), Span(f"default {key.default}" if key.default != "required" else "", Role.MUTED)]
    return Line(tuple(spans)).fit(width)

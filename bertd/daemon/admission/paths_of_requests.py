"""Look at what a submission names on the disk before the event loop does: a path may lead to a disk that hangs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from bertd.api.models import (
    AnySubmission,
    SubmitCommand,
    SubmitEvaluate,
    SubmitExport,
    SubmitPrepare,
    SubmitPretrain,
)
from bertd.api.sweep_models import SubmitSweep
from bertd.daemon.admission.command_job import require_command
from bertd.daemon.process.blocking_calls import BlockingCalls
from bertd.errors import BertdError, RecipeError, SilentDiskError, SubmissionError
from bertd.records import OwnTask
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from bertd.run.recipe.sweep_grid import expand_settings

MAX_LOOKS = 8
"""At the same time. Who submits to a disk that hangs cannot take more threads of the daemon."""
LOOK_TIMEOUT_S = 5.0
"""How long the disks of a submission may take to answer."""

_MAX_CUTS = 34
"""Of an argument; the paths that it may mean grow with the square."""

_Request: TypeAlias = AnySubmission | SubmitSweep


class SubmittedPaths:
    """Looks at the paths of submissions, each in a thread."""

    def __init__(self) -> None:
        self._looks = BlockingCalls("looks at the paths of submissions", most=MAX_LOOKS)

    async def find_problem(self, request: _Request, *, roots: tuple[str, ...]) -> BertdError | None:
        """Why the request cannot be admitted by what it names on the disk; None if the event loop can go on.

        The program of a command is looked for here and nowhere else. Of all others the disk was asked, and has
        answered: what it holds is read by their admission.

        Args:
            roots: folders in which that must be; anywhere, if there are none.
        """
        try:
            return await self._looks.run(lambda: _look(request, roots), timeout_s=LOOK_TIMEOUT_S)
        except TimeoutError:
            return SilentDiskError(
                f"the disk does not answer within {LOOK_TIMEOUT_S:g} s: {', '.join(paths_of(request))[:500]}; see "
                "whether it hangs with `ls`, and try again"
            )
        except BertdError as error:
            return error


def _look(request: _Request, roots: tuple[str, ...]) -> BertdError | None:
    sources = _possible_sources(request) if isinstance(request, SubmitPrepare) else []
    for path in [*paths_of(request), *sources] if roots else ():
        if (refusal := refuse_outside(path, roots)) is not None:
            return refusal
    if isinstance(request, SubmitCommand):
        try:
            require_command(request)
        except BertdError as error:
            return error
        return None
    for path in paths_of(request):
        ask_disk(path)
    return None


def _possible_sources(request: SubmitPrepare) -> list[str]:
    """Every path that an argument of `bertd data prepare` may mean: what is between any two of its colons, as in
    jsonl:FILE, equals signs and commas, since a path may have them, too.

    Raises:
        SubmissionError: an argument has more of them than can be looked at.
    """
    parts = dict.fromkeys(part for argument in request.arguments for part in _parts_of(argument))
    return [str(Path(request.cwd) / part) for part in parts if part]


def _parts_of(argument: str) -> Iterator[str]:
    cuts = [-1, *(match.start() for match in re.finditer("[:=,]", argument)), len(argument)]
    if len(cuts) > _MAX_CUTS:
        raise SubmissionError(
            f"{argument!r:.200}: has more than {_MAX_CUTS - 2} of the characters : = and , so it cannot be seen which "
            "paths it names, which paths.roots has checked; give several arguments, or rename the files"
        )
    for index, begin in enumerate(cuts):
        yield from (argument[begin + 1 : end] for end in cuts[index + 1 :])


def refuse_outside(path: str, roots: tuple[str, ...]) -> BertdError | None:
    """The refusal of a path that, with its links followed, is in none of the folders; it may take any time."""
    try:
        real = Path(path).resolve()
        if any(real.is_relative_to(Path(root).resolve()) for root in roots):
            return None
    except (OSError, ValueError, RuntimeError):
        pass  # A loop of links, or a NUL: it leads nowhere that is allowed.
    return SubmissionError(
        f"{path}: is outside of the folders that paths.roots allows; put it into one of {', '.join(roots)[:500]}"
    )


def ask_disk(path: str) -> None:
    """Return when the disk has said what is there, or that nothing is; it may take any time."""
    try:
        with os.scandir(path) as entries:
            next(entries, None)
    except (OSError, ValueError):
        # No folder, or not to be read: the admission says which, with the remedy.
        pass


def paths_of(request: _Request) -> list[str]:
    """The paths that a request names; of one that is wrong, those that can be read from it."""
    if isinstance(request, SubmitCommand):
        return [request.cwd]
    if isinstance(request, SubmitPretrain):
        return _recipe_paths(
            lambda: [parse_recipe(request.recipe_toml, name=request.recipe_name, overrides=request.overrides)]
        )
    if isinstance(request, SubmitSweep):
        return _recipe_paths(lambda: _recipes_of_sweep(request))
    if isinstance(request, SubmitPrepare):
        # Its sources are read by its program alone.
        return [request.cwd, request.out]
    if isinstance(request, SubmitExport):
        return [] if request.out is None else [request.out]
    if isinstance(request, SubmitEvaluate):
        return [path for path in (request.run, request.shards) if path is not None and path.startswith("/")]
    own = [] if request.own is None else _task_paths(request.own)
    return [*([request.run] if request.run.startswith("/") else []), request.data_dir, *own]


def _recipe_paths(read: Callable[[], Iterable[Recipe]]) -> list[str]:
    try:
        recipes = list(read())
    except RecipeError:
        return []
    return list(dict.fromkeys(path for recipe in recipes for path in paths_of_recipe(recipe)))


def paths_of_recipe(recipe: Recipe) -> list[str]:
    """The paths that a recipe names."""
    named = (*recipe.data.weights, recipe.model.start_from, recipe.finetune.data)
    return [path for path in named if path is not None and path.startswith("/")]


def _recipes_of_sweep(request: SubmitSweep) -> list[Recipe]:
    settings = expand_settings(
        request.spec, recipe_toml=request.recipe_toml, recipe_name=request.recipe_name, name=request.sweep_name
    )
    return [setting.recipe for setting in settings]


def _task_paths(own: OwnTask) -> list[str]:
    return [name for name in (own.train, own.dev) if name is not None]

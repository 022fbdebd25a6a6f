"""Dialog that queues a pretraining from a recipe, with what its budget buys shown before."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from bertd.api.models import JobView, SubmitPretrain
from bertd.run.amounts.budget_amounts import EXAMPLES
from bertd.run.plan.run_estimate import KnownRun, estimate_run, main_fields
from bertd.run.recipe.load import list_recipes
from bertd.run.recipe.named_recipe import (
    ResolvedRecipe,
    budget_override,
    name_override,
    resolve_named_recipe,
    text_override,
)
from tui.actions.action_costs import CostRow
from tui.screens.forms.form import FieldError, Form, labeled_field

if TYPE_CHECKING:
    from bertd.api.models import AnySubmission, RunView


class NewRunForm(Form[JobView]):
    """Plans at each change: steps by the speed of a run of the same size, data, disk, devices."""

    TITLE_TEXT = "New run"
    HINT = "enter: queue it, tab: next field, esc: cancel"

    def __init__(
        self,
        *,
        submit: Callable[[AnySubmission], JobView],
        read_runs: Callable[[], Sequence[RunView]],
        num_waiting: int,
        host: str = "",
    ) -> None:
        super().__init__(host=host)
        self._submit, self._read_runs, self._num_waiting = submit, read_runs, num_waiting

    def fields(self) -> ComposeResult:
        recipes = list_recipes()
        yield from labeled_field(
            "Recipe", "recipe", placeholder=f"a TOML file, or {', '.join(recipes)}", choices=recipes
        )
        yield from labeled_field("Budget", "budget", placeholder=f"the recipe's; or {EXAMPLES}")
        yield from labeled_field("Data set", "data", placeholder="the recipe's; or a name, or a folder")
        yield from labeled_field("Name", "name", placeholder="the recipe's")
        yield from labeled_field("Settings", "settings", placeholder="section.key=value ..., as of bertd submit --set")

    def read(self) -> Callable[[], JobView]:
        name, overrides = self._content()

        def send() -> JobView:
            resolved = resolve_named_recipe(name, overrides)
            return self._submit(
                SubmitPretrain(recipe_toml=resolved.text, recipe_name=resolved.name, overrides=resolved.overrides)
            )

        return send

    def read_estimate(self) -> Callable[[], Sequence[CostRow]]:
        name, overrides = self._content()
        return lambda: plan_rows(
            resolve_named_recipe(name, overrides), known_runs=self._read_runs(), num_waiting=self._num_waiting
        )

    def _content(self) -> tuple[str, list[str]]:
        """The recipe and its overrides.

        Raises:
            FieldError: a field is wrong.
        """
        recipe = self.value("recipe")
        if not recipe:
            raise FieldError("recipe", f"Enter a recipe: a TOML file, or one of {', '.join(list_recipes())}.")
        try:
            overrides = shlex.split(self.value("settings"))
        except ValueError as error:
            raise FieldError("settings", f"Settings: {error}; write section.key=value, with spaces between.") from error
        if budget := self.value("budget"):
            try:
                overrides.append(budget_override(budget))
            except ValueError as error:
                raise FieldError("budget", str(error)) from error
        if data := self.value("data"):
            overrides.append(text_override("data.shards", data))
        if name := self.value("name"):
            overrides.append(name_override(name))
        return recipe, overrides


def plan_rows(resolved: ResolvedRecipe, *, known_runs: Sequence[KnownRun], num_waiting: int) -> list[CostRow]:
    """What the budget buys, and what the run takes. Pure, but for the data set's manifest.

    Raises:
        BertdError: the data set is missing or damaged.
    """
    estimate = estimate_run(resolved.recipe, known_runs=known_runs)
    queue = f"{num_waiting} jobs wait already" if num_waiting else "no job waits"
    return [
        CostRow("model", estimate.model),
        CostRow("budget", estimate.budget_text),
        *(CostRow(name, text) for name, text in main_fields(estimate)),
        CostRow("takes", f"{estimate.num_devices} x {estimate.device_kind}; {queue}"),
    ]

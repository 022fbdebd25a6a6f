"""The settings of sweeps, made of their files once and kept while the daemon runs. Bounded."""

from __future__ import annotations

from collections import OrderedDict

from bertd.jobs.store.tables.sweep_table import Sweep
from bertd.run.recipe.sweep_grid import Setting, expand_settings

_MAX_SWEEPS = 8
"""Sweeps whose settings are kept in memory; each setting takes some ten kilobytes."""


class SweepSettings:
    """The settings by sweep and number."""

    def __init__(self) -> None:
        self._settings: OrderedDict[int, list[Setting]] = OrderedDict()

    def get(self, sweep: Sweep, number: int) -> Setting:
        """One setting; raises as `all` does."""
        return self.all(sweep)[number - 1]

    def all(self, sweep: Sweep) -> list[Setting]:
        """Every setting of a sweep.

        Raises:
            RecipeError: this version of bertd refuses a recipe that an earlier one took.
        """
        if sweep.id not in self._settings:
            self._settings[sweep.id] = expand_settings(
                sweep.spec, recipe_toml=sweep.recipe_toml, recipe_name=sweep.recipe_name, name=sweep.spec.name
            )
            while len(self._settings) > _MAX_SWEEPS:
                self._settings.popitem(last=False)
        return self._settings[sweep.id]

    def most_devices(self, sweep: Sweep) -> int:
        """The most devices that one of the settings has."""
        return max(setting.recipe.devices.count for setting in self.all(sweep))

"""The measurements of a run that has trained, from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertd.api.client import Client
from bertd.errors import RecipeError, RunFolderError
from bertd.run.journal import JournalReader
from bertd.run.paths import RunPaths
from bertd.run.plan.measurements import Measurements, read_measurements
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe


@dataclass(frozen=True)
class MeasuredRun:
    """A run's figures and where it is."""

    measurements: Measurements
    folder: Path


def find_run_folder(run: str, *, client: Client) -> Path:
    """Of a run given by its folder, or by its number, id or name at the daemon.

    Raises:
        BertdError: the daemon does not know it.
    """
    return Path(run).absolute() if Path(run).is_dir() else Path(client.job(run).folder)


def measure_past_run(run: str, *, recipe: Recipe, client: Client) -> MeasuredRun:
    """Read a run's figures for a plan of this recipe.

    Args:
        run: its folder, or its number, id or name at the daemon.

    Raises:
        RunFolderError: its folder or its journal cannot be read, or nothing was measured.
        RecipeError: it trained another model, or with what makes its speed another one.
        BertdError: the daemon does not know it.
    """
    folder = find_run_folder(run, client=client)
    paths = RunPaths(folder)
    if not paths.journal.is_file():
        raise RunFolderError(f"{folder}: no journal there; name a run that has trained")
    _require_same_work(recipe, read_recipe(paths.recipe), run=run)
    # Of a long run the first and the last step of each megabyte are enough.
    records = JournalReader(paths.journal, is_thinned=True)
    return MeasuredRun(read_measurements(records, source=f"run {folder.name}"), folder)


def _require_same_work(recipe: Recipe, past: Recipe, *, run: str) -> None:
    """Refuse a run whose steps are not those of the recipe.

    Raises:
        RecipeError: it names the first key that differs.
    """
    pairs = [
        *((f"model.{key}", getattr(recipe.model, key), getattr(past.model, key)) for key in _MODEL_KEYS),
        ("data.sequence_length", recipe.data.sequence_length, past.data.sequence_length),
        ("data.packing", recipe.data.packing, past.data.packing),
        ("masking.rate", recipe.masking.rate, past.masking.rate),
        ("optimizer.kind", recipe.optimizer.kind, past.optimizer.kind),
        ("precision.mode", recipe.precision.mode, past.precision.mode),
        ("devices.kind", recipe.devices.kind, past.devices.kind),
    ]
    for key, wanted, had in pairs:
        if wanted != had:
            raise RecipeError(f"--from {run}: it has {key} = {had}, and this recipe {wanted}: its speed tells nothing")


_MODEL_KEYS = ("layers", "width", "heads", "ffn", "activation", "positions", "local_attention")
"""Those that decide how much a step computes."""

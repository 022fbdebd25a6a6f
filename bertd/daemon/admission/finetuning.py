"""Admit a finetuning by its task's files and by the export that it starts from."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.admission.readable import kind_of, read_json_object, unreadable_message
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import CheckpointError, CorpusError, RecipeError
from bertd.records import (
    GLUE_FILES,
    LAST_COLUMN,
    SQUAD_METRICS,
    TAGGED_METRICS,
    TAGGED_SUFFIXES,
    OwnTask,
    is_tagged_file,
)
from bertd.run.pretrained_folder import CONFIG_FILE
from bertd.run.recipe.schema import Recipe

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""Finetuning reads no pickle."""
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
"""One of these has the vocabulary; stock encoders have the last three."""


def require_task_data(task: str, data_dir: str) -> None:
    """Check that the folder has the task's training and development files.

    Raises:
        RecipeError: there is no such task.
        CorpusError: the folder, or a file that the task needs, is missing or cannot be read.
    """
    if task not in GLUE_FILES:
        raise RecipeError(f"--task {task!r:.40}: no such task; those are: {', '.join(GLUE_FILES)}")
    files = GLUE_FILES[task]
    try:
        folder = Path(data_dir)
        if not folder.is_absolute() or kind_of(folder) != "a folder":
            raise CorpusError(f"{data_dir}: no such folder; give the folder that holds {files.folder}/")
        if kind_of(folder / files.folder) == "nothing" and kind_of(folder / files.hub_folder) == "a folder":
            _require_hub_files(task, folder / files.hub_folder, splits=("train", files.hub_dev))
            return
        for name in (files.train, files.dev):
            path = folder / files.folder / name
            if (kind := kind_of(path)) == "nothing":
                raise CorpusError(
                    f"{path}: does not exist, and {task} needs it; give the folder that holds {files.folder}/, in "
                    "GLUE's layout"
                )
            if kind != "a file":
                raise CorpusError(f"{path}: {kind}, and not a file; give the folder that holds {files.folder}/")
    except OSError as error:
        raise CorpusError(unreadable_message(data_dir, error)) from error


def _require_hub_files(task: str, folder: Path, *, splits: tuple[str, ...]) -> None:
    for split in splits:
        if not any(folder.glob(f"{split}-*.parquet")):
            raise CorpusError(
                f"{folder}/{split}-*.parquet: does not exist, and {task} needs it; fetch nyu-mll/glue with all files "
                f"of {folder.name}/"
            )


def require_grid_of_recipe(recipe: Recipe, *, name: str, inventory: Inventory) -> None:
    """Check that the grids which a recipe asks for have their data, and devices beside the run.

    Raises:
        CorpusError: a file that a task needs is missing.
        RecipeError: the run takes all devices, and its grids want free ones.
    """
    section = recipe.finetune
    if not section.tasks:
        return
    for task in section.task_names:
        require_task_data(task, section.data or "")
    if section.where == "free" and free_devices(recipe, inventory) < 1:
        raise RecipeError(
            f'{name}: [finetune] where = "free": the run takes every device; give it fewer, or let where be "after"'
        )


def free_devices(recipe: Recipe, inventory: Inventory) -> int:
    """Devices for grids beside a run, of the kind that a grid takes on this machine."""
    kind = "gpu" if inventory.gpus else "cpu"
    taken = recipe.devices.count if recipe.devices.kind == kind else 0
    return inventory.count(kind) - taken


def require_own_data(own: OwnTask) -> None:
    """Check that the tables of a task of one's own are there; their content is read when the job runs.

    Raises:
        CorpusError: one is missing, or is not a file.
        RecipeError: the settings do not fit the files' kind.
    """
    if own.is_squad:
        _require_squad_settings(own)
    else:
        _require_tagged_settings(own)
    for name in (own.train, own.dev):
        if name is None:
            continue
        try:
            path = Path(name)
            kind = kind_of(path) if path.is_absolute() else "nothing"
        except OSError as error:
            raise CorpusError(unreadable_message(name, error)) from error
        if kind == "nothing":
            raise CorpusError(f"{name}: no such file; give the table with --data, and its development set with --dev")
        if kind != "a file":
            raise CorpusError(f"{name}: {kind}, and not a file; give a table in a file")


def _require_squad_settings(own: OwnTask) -> None:
    """Check what only questions need.

    Raises:
        RecipeError: the metric is not one of answers, or a file is not JSON by its name.
    """
    for option, name in (("--data", own.train), ("--dev", own.dev)):
        if name is not None and not name.lower().endswith(".json"):
            raise RecipeError(f"{option} {name}: is not a .json file; give SQuAD's JSON for training and development")
    if own.metric is not None and own.metric not in SQUAD_METRICS:
        raise RecipeError(f"--metric {own.metric}: answers have {' and '.join(SQUAD_METRICS)}; leave it out")


def _require_tagged_settings(own: OwnTask) -> None:
    """Check what only tagged words need.

    Raises:
        RecipeError: a column is not a number, the metric is not one of tags, or one file is a table.
    """
    if own.dev is not None and is_tagged_file(own.dev) != own.is_tagged:
        raise RecipeError(
            f"--dev {own.dev}: one file is a table, the other has tagged words ({', '.join(TAGGED_SUFFIXES)}); give "
            "two of a kind"
        )
    if not own.is_tagged:
        return
    if len(own.text) != 1 or not own.text[0].isdecimal():
        raise RecipeError(f"--text {','.join(own.text)!r:.40}: tagged words are one column; give its number, from 1")
    if own.label != LAST_COLUMN and not own.label.isdecimal():
        raise RecipeError(f"--label {own.label!r:.40}: give the number of the tags' column, from 1, or {LAST_COLUMN}")
    if own.metric is not None and own.metric not in TAGGED_METRICS:
        raise RecipeError(f"--metric {own.metric}: tags have {' and '.join(TAGGED_METRICS)}; give one of them")


def require_export(export: Path) -> Path:
    """The folder, if a finetuning can start from it as far as a look at it shows.

    Raises:
        CheckpointError: it is not an export.
    """
    remedy = "`bertd show RUN` names the newest one"
    try:
        if kind_of(export / CONFIG_FILE) != "a file":
            raise CheckpointError(f"{export}: not an export (no {CONFIG_FILE}); {remedy}")
        read_json_object(export / CONFIG_FILE)
        if not any(kind_of(export / name) == "a file" for name in _WEIGHTS):
            raise CheckpointError(f"{export}: not an export (no {_WEIGHTS[0]}); {remedy}")
        if not any(kind_of(export / name) == "a file" for name in _TOKENIZER_FILES):
            raise CheckpointError(f"{export}: not an export (neither {' nor '.join(_TOKENIZER_FILES[:2])}); {remedy}")
    except OSError as error:
        raise CheckpointError(unreadable_message(export, error)) from error
    except ValueError as error:
        raise CheckpointError(f"{export}: not an export: {error}; {remedy}") from error
    return export

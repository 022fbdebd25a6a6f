"""Run bertd's compute programs as subprocesses and read their output.

A failure raises the error class that the exit status stands for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bertd import errors
from bertd.demo.private_daemon import last_line
from bertd.errors import BertdError, CheckpointError, ShardError
from bertd.records import Record

_ERROR_BY_EXIT_CODE: dict[int, type[BertdError]] = {
    2: errors.RecipeError,
    65: errors.CorpusError,
    69: errors.DeviceError,
    74: errors.StorageError,
}


def run_program(module: str, arguments: list[str], *, log: Path) -> str:
    """Run `python -m module` and return its standard output; standard error goes to `log`.

    Raises:
        BertdError: it failed; the class follows from the exit status, the message is the log's last line.
    """
    with log.open("wb") as messages:
        completed = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            process_group=0,  # Ctrl-C reaches only the demo, which ends its programs.
            check=False,
        )
    if completed.returncode:
        error_class = _ERROR_BY_EXIT_CODE.get(completed.returncode, BertdError)
        raise error_class(f"python -m {module}: {last_line(log).removeprefix('bertd: ')}")
    return completed.stdout


class SplitFacts(Record):
    """Counts of one split of a data set."""

    documents: int
    tokens: int


class DataSetFacts(Record):
    """The part of a data set's manifest.json that the demo reads."""

    vocab_size: int
    splits: dict[str, SplitFacts]


def read_manifest(shards: Path) -> DataSetFacts:
    """Read the manifest that bertd.data.commands.prepare wrote.

    Raises:
        ShardError: it is missing or not valid.
    """
    try:
        return DataSetFacts.model_validate_json((shards / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ShardError(f"{shards}: no data set there: {error}; delete the folder and start again") from error


class MaskPrediction(Record):
    """One prediction for the masked token."""

    token: str
    probability: float


class TryExportOutput(Record):
    """Output of bertd.model.try_export."""

    architecture: str
    fills: list[MaskPrediction]


def try_export(export: Path, *, text: str, log: Path) -> TryExportOutput:
    """Load an export with stock transformers and predict the masked token in `text`.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    output = run_program("bertd.model.try_export", [str(export), "--fill", text], log=log)
    try:
        return TryExportOutput.model_validate_json(output)
    except ValueError as error:
        raise CheckpointError(f"{export}: unexpected output of try_export: {output[:200]!r}; see {log}") from error

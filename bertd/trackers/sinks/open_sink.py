"""The formats by name, and what each of them needs installed."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from bertd.errors import MissingPackageError, OutputExistsError
from bertd.trackers.sinks.sink import RunDescription, Sink


class MetricsFormat(StrEnum):
    """What metrics can be written as."""

    CSV = "csv"
    PARQUET = "parquet"
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"

    @property
    def is_table(self) -> bool:
        """One file with a row per record."""
        return self in (MetricsFormat.CSV, MetricsFormat.PARQUET)


_TRACKERS = (MetricsFormat.TENSORBOARD, MetricsFormat.WANDB, MetricsFormat.MLFLOW, MetricsFormat.TRACKIO)
"""Each needs the package of its name; tables need nothing that bertd does not."""


def find_missing_package(format: MetricsFormat) -> str:
    """What is wrong and how to mend it, if the format's package is not installed; empty if it is."""
    if format not in _TRACKERS or find_spec(format) is not None:
        return ""
    return f"{format} needs the package {format}, which is not installed; pip install 'bertd[{format}]'"


def open_sink(
    format: MetricsFormat, place: Path, run: RunDescription, *, is_continued: bool = False, reference: str = ""
) -> Sink:
    """Begin to write.

    Args:
        place: file of a table, folder of a tracker.
        is_continued: part of the run was written there before.
        reference: by which the tracker knows what was written before.

    Raises:
        MissingPackageError: the format's package is not installed.
        OutputExistsError: the file of a table is there.
        StorageError: the place cannot be written.
    """
    if missing := find_missing_package(format):
        raise MissingPackageError(missing)
    if format.is_table and place.exists():
        raise OutputExistsError(f"{place}: exists already; give another with --out, or remove it")
    match format:
        case MetricsFormat.CSV:
            from bertd.trackers.sinks.csv_file import CsvFile

            return CsvFile(place)
        case MetricsFormat.PARQUET:
            from bertd.trackers.sinks.parquet_file import ParquetFile

            return ParquetFile(place)
        case MetricsFormat.TENSORBOARD:
            from bertd.trackers.sinks.tensorboard_events import TensorBoardEvents

            return TensorBoardEvents(place, run, is_continued=is_continued)
        case MetricsFormat.WANDB:
            from bertd.trackers.sinks.wandb_run import WandbRun

            return WandbRun(place, run, reference=reference)
        case MetricsFormat.MLFLOW:
            from bertd.trackers.sinks.mlflow_run import MlflowRun

            return MlflowRun(place, run, reference=reference)
        case MetricsFormat.TRACKIO:
            from bertd.trackers.sinks.trackio_run import TrackioRun

            return TrackioRun(place, run, reference=reference)

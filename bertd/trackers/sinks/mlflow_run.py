"""A run of MLflow: in a folder, its file store, or where $MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bertd.errors import BertdError, StorageError
from bertd.trackers.metrics import MetricRow
from bertd.trackers.sinks.sink import RunDescription

EXPERIMENT = "bertd"
_BATCH = 1000
"""Metrics in one request at most. Source: mlflow's MAX_METRICS_PER_BATCH."""
_PARAMS_BATCH = 100
"""Source: mlflow's MAX_PARAMS_TAGS_PER_BATCH."""
_VALUE_CHARACTERS = 6000
"""Source: mlflow's MAX_PARAM_VAL_LENGTH."""


class MlflowRun:
    """One run."""

    def __init__(self, place: Path, run: RunDescription, *, reference: str) -> None:
        """Begin or continue a run.

        Args:
            place: folder of the file store.
            reference: id of the run that is continued; empty for a new one.

        Raises:
            BertdError: the tracking server refused.
            StorageError: the folder cannot be written.
        """
        # The file store needs no server and no database; mlflow asks for this word before it writes one.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import entities
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self.place = place
        self._entities, self._refusal = entities, MlflowException
        self._metrics: list[Any] = []
        uri = os.environ.get("MLFLOW_TRACKING_URI") or place.absolute().as_uri()
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self.reference = reference or self._begin(run)
        except OSError as error:
            raise self._refused(error) from error
        except MlflowException as error:
            raise BertdError(f"{uri}: mlflow refused: {error}") from error

    def write(self, row: MetricRow) -> None:
        milliseconds = int(row.t * 1000)
        values = {**row.values, "budget/charged_s": row.charged_s, "budget/progress": row.progress}
        self._metrics += [self._entities.Metric(name, value, milliseconds, row.step) for name, value in values.items()]
        if len(self._metrics) >= _BATCH:
            self.flush()

    def repeat_after(self, step: int) -> None:
        """Points of a step that comes again are shown beside the first ones."""

    def flush(self) -> None:
        while self._metrics:
            try:
                self._client.log_batch(self.reference, metrics=self._metrics[:_BATCH])
            except OSError as error:
                raise self._refused(error) from error
            except self._refusal as error:
                raise BertdError(f"{self.place}: mlflow refused: {error}") from error
            del self._metrics[:_BATCH]

    def close(self) -> None:
        self.flush()
        self._client.set_terminated(self.reference)

    def abort(self) -> None:
        """What is written stays."""

    def _begin(self, run: RunDescription) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment is not None else self._client.create_experiment(name)
        made = self._client.create_run(number, run_name=run.name)
        params = [
            self._entities.Param(f"{section}.{key}", str(value)[:_VALUE_CHARACTERS])
            for section, keys in run.settings.items()
            for key, value in keys.items()
        ]
        for begin in range(0, len(params), _PARAMS_BATCH):
            self._client.log_batch(made.info.run_id, params=params[begin : begin + _PARAMS_BATCH])
        return str(made.info.run_id)

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.place}: cannot write: {error.strerror or error}; free space there")

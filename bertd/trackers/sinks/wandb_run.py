"""A run of Weights & Biases: by default offline, in a folder that `wandb sync` uploads.

Its own variables decide the rest: WANDB_MODE=online sends at once, WANDB_PROJECT and WANDB_ENTITY say where to.
"""

from __future__ import annotations

import os
from pathlib import Path

from bertd.errors import BertdError, StorageError
from bertd.trackers.metrics import MetricRow
from bertd.trackers.sinks.sink import RunDescription

PROJECT = "bertd"


class WandbRun:
    """One run; its points have the step as their axis, since steps may come again after a restart."""

    def __init__(self, place: Path, run: RunDescription, *, reference: str) -> None:
        """Begin or continue a run.

        Args:
            place: folder, in which wandb makes one of its own.
            reference: id of the run that is continued; empty for a new one.

        Raises:
            BertdError: wandb did not start.
            StorageError: the folder cannot be made.
        """
        import wandb

        self.place = place
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{place}: cannot make the folder: {error.strerror}; check the disk") from error
        # Nothing of the machine is collected: metrics are the journal's.
        settings = wandb.Settings(
            silent=True, console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True, disable_code=True
        )
        try:
            self._run = wandb.init(
                mode=os.environ.get("WANDB_MODE", "offline"),
                dir=str(place),
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.name,
                id=reference or None,
                resume="allow" if reference else None,
                config=run.settings,
                settings=settings,
            )
        except wandb.errors.Error as error:
            raise BertdError(f"{place}: wandb did not start: {error}; see its debug.log there") from error
        self.reference = self._run.id
        self._run.define_metric("*", step_metric="step")

    def write(self, row: MetricRow) -> None:
        index = {"step": row.step, "sequences": row.sequences, "charged_s": row.charged_s, "progress": row.progress}
        self._run.log({**index, **row.values})

    def repeat_after(self, step: int) -> None:
        """Points of a step that comes again are shown beside the first ones."""

    def flush(self) -> None:
        """Nothing: wandb's own process writes."""

    def close(self) -> None:
        self._run.finish()

    def abort(self) -> None:
        self._run.finish(exit_code=1)

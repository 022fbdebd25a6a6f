"""A run of trackio: a project in a folder, that `trackio show` draws.

Its own variables decide the rest: TRACKIO_SPACE_ID or TRACKIO_SERVER_URL sends it there, TRACKIO_PROJECT names it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from bertd.errors import BertdError, StorageError
from bertd.trackers.metrics import MetricRow
from bertd.trackers.sinks.sink import RunDescription

PROJECT = "bertd"


class TrackioRun:
    """One run. trackio gives each point the time at which it is written; the time of its record is metric `t`."""

    def __init__(self, place: Path, run: RunDescription, *, reference: str) -> None:
        """Begin or continue a run.

        Args:
            place: folder of the database.
            reference: name of the run that is continued; empty for a new one.

        Raises:
            BertdError: trackio did not start.
            StorageError: the folder cannot be made.
        """
        self.place = place
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{place}: cannot make the folder: {error.strerror}; check the disk") from error
        # trackio reads it once, when it is imported.
        os.environ["TRACKIO_DIR"] = str(place.absolute())
        import trackio

        # What it says is for a person at a notebook; the standard output is the command's answer.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                self._run = trackio.init(
                    project=os.environ.get("TRACKIO_PROJECT", PROJECT),
                    name=reference or run.name,
                    resume="allow" if reference else "never",
                    config=run.settings,
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
            except Exception as error:
                # It documents no class of its own.
                raise BertdError(f"{place}: trackio did not start: {error}") from error
        self.reference = self._run.name

    def write(self, row: MetricRow) -> None:
        index = {"t": row.t, "sequences": row.sequences, "charged_s": row.charged_s, "progress": row.progress}
        self._run.log({**index, **row.values}, step=row.step)

    def repeat_after(self, step: int) -> None:
        """Points of a step that comes again are shown beside the first ones."""

    def flush(self) -> None:
        """Nothing: a thread of trackio's writes."""

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self._run.finish()

    def abort(self) -> None:
        self.close()

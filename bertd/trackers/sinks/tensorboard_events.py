"""TensorBoard's event files, written by the package `tensorboard` without TensorFlow and torch.

FOLDER/events.out.tfevents.SECONDS.bertd.PID     one event per row, its metrics as scalars; the recipe as a text
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bertd.errors import StorageError
from bertd.trackers.metrics import MetricRow
from bertd.trackers.sinks.sink import RunDescription

_VERSION = "brain.Event:2"
"""First event of a file. Source: TensorBoard's event_file_writer.py."""


class TensorBoardEvents:
    """Appends one file of events to a folder."""

    reference = ""

    def __init__(self, place: Path, run: RunDescription, *, is_continued: bool) -> None:
        """Begin a file.

        Args:
            place: folder, which may have files of earlier attempts.
            is_continued: the text of the recipe is there already.

        Raises:
            StorageError: it cannot be made.
        """
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.place = place
        self._events, self._summaries = event_pb2, summary_pb2
        name = f"events.out.tfevents.{int(time.time())}.bertd.{os.getpid()}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            self._file = (place / name).open("xb")
        except OSError as error:
            raise StorageError(f"{place}: cannot write: {error.strerror}; check the folder") from error
        self._writer = RecordWriter(self._file)
        self._append(event_pb2.Event(wall_time=time.time(), file_version=_VERSION))
        if not is_continued:
            self._write_recipe(run)

    def write(self, row: MetricRow) -> None:
        scalars = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in row.values.items()]
        summary = self._summaries.Summary(value=scalars)
        self._append(self._events.Event(wall_time=row.t, step=row.step, summary=summary))

    def repeat_after(self, step: int) -> None:
        """Have TensorBoard drop the points of later steps, as it does when a training restarts."""
        log = self._events.SessionLog(status=self._events.SessionLog.START)
        self._append(self._events.Event(wall_time=time.time(), step=step + 1, session_log=log))

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._refused(error) from error

    def abort(self) -> None:
        """What is written stays: a file of events is readable up to its last whole one."""
        try:
            self._file.close()
        except OSError:
            # The disk has refused it before, which the caller knows.
            pass

    def _write_recipe(self, run: RunDescription) -> None:
        from tensorboard.compat.proto import tensor_pb2, types_pb2

        rows = [
            f"| {section}.{key} | {value} |" for section, keys in run.settings.items() for key, value in keys.items()
        ]
        text = "\n".join([f"# {run.name}", "", "| key | value |", "|---|---|", *rows])
        metadata = self._summaries.SummaryMetadata(
            plugin_data=self._summaries.SummaryMetadata.PluginData(plugin_name="text")
        )
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[text.encode()])
        value = self._summaries.Summary.Value(tag="recipe/text_summary", metadata=metadata, tensor=tensor)
        self._append(self._events.Event(wall_time=time.time(), summary=self._summaries.Summary(value=[value])))

    def _append(self, event: object) -> None:
        try:
            self._writer.write(event.SerializeToString())  # type: ignore[attr-defined]  # a protobuf message, untyped
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.place}: cannot write: {error.strerror}; free space there")

"""The task of a finetuning, read once for all trials of it that a worker runs one after another."""

from __future__ import annotations

from bertd.glue.kinds.kind import Kind
from bertd.glue.kinds.read_kind import read_kind
from bertd.records import FinetuneSpec


class TaskCache:
    """Keeps the newest task, with what it has tokenized: a grid's trials of one task follow each other."""

    def __init__(self) -> None:
        self._key: object = None
        self._kind: Kind | None = None

    def read(self, spec: FinetuneSpec) -> Kind:
        """The task with its examples; those in memory, if the last trial was of it too.

        Raises:
            CorpusError: a file, a column or a label is missing or wrong, or there is no example.
        """
        key = (spec.task, spec.data_dir, spec.own)
        if self._kind is None or self._key != key:
            self._kind = None
            self._kind, self._key = read_kind(spec), key
        return self._kind

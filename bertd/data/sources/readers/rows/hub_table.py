"""Data sets of the hub, or of a folder that the package `datasets` reads: a column of texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import Block, ReadResult
from bertd.data.sources.readers.rows.columns import (
    VALUES_PER_BATCH,
    make_rows,
    missing_column_message,
    require_text_column,
)
from bertd.data.sources.readers.rows.row_blocks import Row, pack_rows, read_rows
from bertd.data.sources.readers.rows.row_filter import RowFilter
from bertd.errors import CorpusError
from bertd.hub import hub_unreachable_reason

_SPLIT = "train"


@dataclass(frozen=True)
class HubTable:
    """Streams the train split of a data set by its name on the hub, or from a folder."""

    name: str
    """`NAME` or `NAME:CONFIG`."""
    text_field: str = "text"
    values_per_document: int = 1
    row_filter: RowFilter = RowFilter()

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Some rows each; `stream` is not used, since `datasets` finds the files.

        Raises:
            CorpusError: datasets is not installed, or the data set cannot be loaded or lacks the column.
        """
        try:
            import datasets
        except ImportError as error:
            raise CorpusError("hf needs the package datasets; pip install datasets") from error
        path, config = split_config(self.name)
        if not Path(path).exists() and (reason := hub_unreachable_reason(path, kind="dataset")):
            raise CorpusError(
                f"hf:{self.name}: no such folder, and the hub cannot be reached: {reason}; run this where there is a "
                "network, or fetch it there and name the folder"
            )
        try:
            table = _open_saved(path) if is_saved_dataset(Path(path)) else _open_streamed(path, config)
            columns = table.column_names or list(next(iter(table.take(1)), {}))
            if self.text_field not in columns:
                raise CorpusError(missing_column_message(f"hf:{self.name}", self.text_field, columns))
            if feature := (table.features or {}).get(self.text_field):
                kind = type(feature).__name__
                type_name = str(feature.dtype) if kind == "Value" else kind
                require_text_column(type_name, place=f"hf:{self.name}", field=self.text_field)
            place = f"hf:{self.name}"
            paths = self.row_filter.paths(
                has_path=lambda path: path.partition(".")[0] in columns, place=place, columns=columns
            )
            names = list(dict.fromkeys([self.text_field, *(path.partition(".")[0] for path in paths)]))
            batches = table.select_columns(names).iter(batch_size=VALUES_PER_BATCH)
            rows = make_rows(self._rows(batches), values_per_document=self.values_per_document, place=place)
            yield from pack_rows(rows, block_bytes=block_bytes)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            reason = str(error).split("\n", 1)[0]
            raise CorpusError(
                f"hf:{self.name}: cannot load: {reason}; check the name and the network, or fetch it elsewhere and "
                "name the folder"
            ) from error

    def _rows(self, batches: Iterator[dict[str, list[object]]]) -> Iterator[Row]:
        for batch in batches:
            for number, value in enumerate(batch[self.text_field]):
                record = {name: values[number] for name, values in batch.items()} if self.row_filter.conditions else {}
                yield Row.of_value(value).filtered(self.row_filter, record)

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row, or for several of them."""
        return read_rows(content)


def split_config(name: str) -> tuple[str, str | None]:
    """The name or folder of a data set, and its configuration; a folder's own name may hold colons."""
    if Path(name).exists():
        return name, None
    folder, _, config = name.rpartition(":")
    if not folder or not Path(folder).is_dir():
        folder, _, config = name.partition(":")
    return folder, config or None


def is_saved_dataset(folder: Path) -> bool:
    """Whether `save_to_disk` of the package datasets wrote a folder: a data set, or several splits."""
    names = ("state.json", "dataset_info.json")
    return (folder / "dataset_dict.json").is_file() or all((folder / name).is_file() for name in names)


def _open_saved(path: str) -> Any:
    """The rows that were saved, without files that `datasets` cached next to them.

    Raises:
        CorpusError: it has splits, and none is for training.
    """
    import datasets

    saved = datasets.load_from_disk(path)
    if isinstance(saved, datasets.DatasetDict):
        if _SPLIT not in saved:
            raise CorpusError(f"{path}: no split {_SPLIT!r}; it has {', '.join(map(str, saved))}: name one's folder")
        saved = saved[_SPLIT]
    return saved.to_iterable_dataset()


def _open_streamed(path: str, config: str | None) -> Any:
    import datasets

    builder = datasets.load_dataset_builder(path, config)
    if type(builder.config).__name__ == "CsvConfig":
        # pandas would take a cell that says NA for an empty one.
        builder = datasets.load_dataset_builder(path, config, keep_default_na=False)
    return builder.as_streaming_dataset(split=_SPLIT)

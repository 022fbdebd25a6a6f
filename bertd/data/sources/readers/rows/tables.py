"""Tables with a column of texts: Parquet files, and data sets of the hub or of a folder that `datasets` reads.

Texts are sent to the workers as JSON lines, which the JSON lines reader parses there. Some corpora, BookCorpus among
them, have one sentence a row and no mark where a book ends: there, SENTENCES_PER_DOCUMENT rows make a document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from bertd.data.sources.readers.document import MAX_DOCUMENT_BYTES, Block, ReadResult, TooLong
from bertd.data.sources.readers.rows.jsonl import JsonLines
from bertd.errors import CorpusError
from bertd.hub import hub_unreachable_reason

_TEXT_TYPES = re.compile(
    r"null|(?:large_)?(?:string|binary)(?:_view)?|fixed_size_binary\[\d+\]|dictionary<values=(?:large_)?string,.*"
)
"""Names of the types in Arrow and in `datasets`; a column of null has no text yet."""
ROWS_PER_BATCH = 256
"""Rows read at once."""
_SPLIT = "train"
SENTENCES_PER_DOCUMENT = 256
"""Some 4,000 tokens of a novel."""
_COLUMN_BUFFER_BYTES = 1 << 20
"""Read-ahead in a column; a complete row group may be larger than the memory."""


@dataclass(frozen=True)
class Parquet:
    """Reads one column of a file, row group by row group."""

    text_field: str = "text"
    rows_per_document: int = 1

    def blocks(self, stream: BinaryIO, *, block_bytes: int) -> Iterator[Block]:
        """Some rows each.

        Raises:
            CorpusError: pyarrow is not installed, or the file is not a Parquet file or lacks the column.
        """
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise CorpusError("parquet needs the package pyarrow; pip install pyarrow") from error
        place = getattr(stream, "name", "parquet")
        try:
            # A file in a tar cannot be read from its end, as Parquet is.
            seekable = stream if stream.seekable() else BytesIO(stream.read())
            file = pyarrow.parquet.ParquetFile(seekable, buffer_size=_COLUMN_BUFFER_BYTES)
            if self.text_field not in file.schema_arrow.names:
                raise CorpusError(missing_column_message(place, self.text_field, file.schema_arrow.names))
            require_text_column(str(file.schema_arrow.field(self.text_field).type), place=place, field=self.text_field)
            batches = file.iter_batches(batch_size=ROWS_PER_BATCH, columns=[self.text_field])
            texts = join_rows((batch.column(0).to_pylist() for batch in batches), rows=self.rows_per_document)
            yield from pack_blocks(texts, block_bytes=block_bytes)
        except pyarrow.ArrowException as error:
            reason = str(error).split("\n", 1)[0]
            raise CorpusError(f"{place}: not a complete Parquet file: {reason}; fetch it again") from error

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row."""
        return JsonLines().documents(content)


@dataclass(frozen=True)
class HubTable:
    """Streams the train split of a data set by its name on the hub, or from a folder."""

    name: str
    """`NAME` or `NAME:CONFIG`."""
    text_field: str = "text"
    rows_per_document: int = 1

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
            rows = table.select_columns([self.text_field]).iter(batch_size=ROWS_PER_BATCH)
            texts = join_rows((batch[self.text_field] for batch in rows), rows=self.rows_per_document)
            yield from pack_blocks(texts, block_bytes=block_bytes)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            reason = str(error).split("\n", 1)[0]
            raise CorpusError(
                f"hf:{self.name}: cannot load: {reason}; check the name and the network, or fetch it elsewhere and "
                "name the folder"
            ) from error

    def documents(self, content: bytes) -> Iterator[ReadResult]:
        """A document a row."""
        return JsonLines().documents(content)


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


def missing_column_message(place: str, field: str, columns: list[str]) -> str:
    return f"{place}: no column {field!r}; it has {', '.join(columns)}: give --text-field"


def require_text_column(type_name: str, *, place: str, field: str) -> None:
    """Refuse a column of numbers, lists or anything else that is not text.

    Raises:
        CorpusError: its type is another.
    """
    if not _TEXT_TYPES.fullmatch(type_name):
        raise CorpusError(f"{place}: column {field!r} has {type_name}, not text; give another with --text-field")


def _decode_value(value: object) -> object:
    """A text that Impala or an old Spark wrote as bytes; what is not UTF-8 in it becomes half a surrogate pair."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def join_rows(batches: Iterable[list[object]], *, rows: int) -> Iterator[object]:
    """The values, or every `rows` strings joined to a document; what is not a string stays alone, to be counted."""
    if rows == 1:
        for batch in batches:
            yield from map(_decode_value, batch)
        return
    sentences: list[str] = []
    for batch in batches:
        for value in map(_decode_value, batch):
            if not isinstance(value, str):
                yield value
                continue
            sentences.append(value)
            if len(sentences) == rows:
                yield "\n".join(sentences)
                sentences = []
    if sentences:
        yield "\n".join(sentences)


def pack_blocks(texts: Iterable[object], *, block_bytes: int) -> Iterator[Block]:
    lines: list[bytes] = []
    size = 0
    too_long = TooLong()
    for text in texts:
        line = json.dumps({"text": text}).encode() + b"\n"
        if len(line) > MAX_DOCUMENT_BYTES:
            too_long.begin(text.encode("utf-8", "replace") if isinstance(text, str) else line)
            continue
        lines.append(line)
        size += len(line)
        if size >= block_bytes:
            yield too_long.take_block(b"".join(lines))
            lines, size = [], 0
    if lines or too_long.documents:
        yield too_long.take_block(b"".join(lines))

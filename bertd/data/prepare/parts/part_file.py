"""The file of one tokenized part of a corpus: written atomically by a worker, read by the assembly.

tokens               the stream: each document's tokens, then a [SEP]
document_lengths     tokens of each document in the stream, its [SEP] counted
document_sentences   sentences of each document
sentence_lengths     tokens of each sentence; the last of a document counts the [SEP]
hashes               of each document's text
sources              number of each document's source
characters, letters, ascii_letters, words, unknown, deleted_marks, long_word_characters
                     of each document, for the quality report
signatures, bands    MinHash signatures and their bands; only with --dedup near
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bertd.data.arrays import HashArray
from bertd.data.sources.readers.left_out import LeftOutRecord
from bertd.errors import StorageError

PARTS_FORMAT = 6
"""Parts of another format, which an earlier bertd left, are made again."""


class PartFacts(BaseModel):
    """Facts of a part, besides its arrays, for the reading process and the assembly."""

    model_config = ConfigDict(frozen=True)

    next_file: int
    """File at which reading continues after this part, counted over all sources."""
    next_block: int
    """Block of that file."""
    read: dict[int, int]
    """Documents read, by source."""
    skipped: dict[int, dict[str, int]]
    """Documents left out, by source and reason."""
    read_characters: dict[int, int]
    """Characters of the documents read, by source."""
    left_out: dict[int, LeftOutRecord]
    """Characters left out, by source; those of the documents that the assembly leaves out are not in it."""


def part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:07d}.safetensors"


def pack_part(arrays: dict[str, npt.NDArray[Any]], *, facts: PartFacts) -> bytes:
    """The content of a part's file."""
    content: bytes = save(arrays, metadata={"facts": facts.model_dump_json()})
    return content


class PartFile:
    """A finished part."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            self._file = cast(Any, safe_open(path, framework="numpy"))
            self.facts = PartFacts.model_validate_json(self._file.metadata()["facts"])
        except (OSError, SafetensorError) as error:
            raise StorageError(f"{path}: cannot read: {error}; remove it and prepare again") from error

    def row(self, name: str, number: int) -> HashArray:
        """One row of an array, without reading the others."""
        row: HashArray = self._file.get_slice(name)[number]
        return row

    def array(self, name: str) -> npt.NDArray[np.int64]:
        """One complete array; the tokens are of a narrower type."""
        array: npt.NDArray[np.int64] = self._file.get_tensor(name)
        return array

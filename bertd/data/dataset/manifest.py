"""The manifest.json of a data set: everything but the tokens and offsets themselves.

The same input and options give the same manifest, byte for byte: it holds no times, no host and no number of processes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bertd.errors import ShardError

DATASET_FORMAT = 1
"""Version of the folder; a reader refuses a newer one."""
MANIFEST_FILE = "manifest.json"

SplitName = Literal["train", "validation"]


class FrozenModel(BaseModel):
    """Frozen; unknown fields are refused, since a change of the fields is a new format."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SplitCounts(FrozenModel):
    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    """Of text; the stream also holds one [SEP] after each document."""

    @property
    def stream_tokens(self) -> int:
        """Length of the stream: the text's tokens and a [SEP] for each document."""
        return self.tokens + self.documents


class SourceCounts(FrozenModel):
    """One source as the command named it."""

    kind: str
    path: str
    files: int
    """Files that the path stood for."""
    bytes: int
    """Size of those files on disk."""
    read: int
    """Documents read, kept or not."""
    skipped: dict[str, int]
    """Documents left out, by reason."""
    kept: SplitCounts
    """Over both splits."""


class FileFacts(FrozenModel):
    size: int
    """Bytes."""
    sha256: str


class TokenizerFacts(FrozenModel):
    fingerprint: str
    """sha256 over the names and contents of the tokenizer's files."""
    lowercase: bool
    strip_accents: bool
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int


class Filters(FrozenModel):
    """Which documents to leave out."""

    min_characters: int = 1
    """Shorter documents are left out."""
    min_ascii_share: float = 0.0
    """Documents with a smaller share of ASCII among their letters are left out."""
    dedup: Literal["none", "exact", "near"] = "exact"
    near_threshold: float = 0.8
    """Estimated Jaccard similarity of token five-grams from which two documents are near duplicates."""
    max_documents: int | None = None


class Manifest(FrozenModel):
    """Content of manifest.json."""

    format: int = DATASET_FORMAT
    vocab_size: int
    tokenizer: TokenizerFacts
    splits: dict[SplitName, SplitCounts]
    validation_share: float
    """Of documents, chosen by the hash of their text."""
    language: str
    """Language whose rules found the sentence boundaries."""
    sources: list[SourceCounts]
    filters: Filters
    files: dict[str, FileFacts]
    """Every file of the folder but this one, by its path inside."""

    @property
    def fingerprint(self) -> str:
        """sha256 of the content: equal data sets have equal ones."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def read_manifest(root: Path) -> Manifest:
    """The manifest of the data set in `root`.

    Raises:
        ShardError: no data set is there, or it is of a newer format, or damaged.
    """
    path = root / MANIFEST_FILE
    try:
        if path.exists() and not path.is_file():
            # Opening a pipe would block for ever.
            raise ShardError(f"{root}: no data set: {MANIFEST_FILE} is not a file; make it with bertd data prepare")
        content = path.read_bytes()
    except OSError as error:
        raise ShardError(
            f"{root}: no data set: {MANIFEST_FILE}: {error.strerror}; make it with bertd data prepare"
        ) from error
    try:
        tree = json.loads(content)
        version = int(tree["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise ShardError(f"{path}: not a manifest: {error!r}; prepare the data set again") from error
    if version > DATASET_FORMAT:
        raise ShardError(f"{path}: format {version}, and this bertd reads up to {DATASET_FORMAT}; use a newer bertd")
    try:
        return Manifest.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ShardError(f"{path}: {where}: {first['msg']}; prepare the data set again") from error

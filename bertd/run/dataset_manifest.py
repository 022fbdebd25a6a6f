"""The manifest.json of a data set, which both sides read: everything but the tokens and offsets themselves.

The same input and options give the same manifest, byte for byte: it holds no times, no host and no number of processes.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from bertd.errors import ShardError
from bertd.run.amounts.quantities import format_count
from bertd.run.machine.os_errors import remedy_for
from bertd.run.recipe.schema import MIN_SEQUENCE_LENGTH
from bertd.validation_text import describe_problem

DATASET_FORMAT = 1
"""Version of the folder; a reader refuses a newer one."""
MANIFEST_FILE = "manifest.json"
PIECE_BYTES = 1 << 30
"""Larger files of tokens and offsets have a hash for each piece of this size, too."""
MAX_PACKED_SEQUENCES = 1 << 28
"""Most rows of the packing "sentences", whose places are kept in memory: 2.7 GB on each rank, and minutes to find."""

SplitName = Literal["train", "validation"]


class FrozenModel(BaseModel):
    """Frozen; unknown fields are refused, since a change of the fields is a new format."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SplitCounts(FrozenModel):
    documents: NonNegativeInt = 0
    sentences: NonNegativeInt = 0
    tokens: NonNegativeInt = 0
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


class PieceHashes(FrozenModel):
    """Hashes of a large file's pieces, which can be checked at the same time."""

    bytes: PositiveInt
    """Of each piece but the last."""
    sha256: list[str]
    """In their order."""


class FileFacts(FrozenModel):
    size: int
    """Bytes."""
    sha256: str
    pieces: PieceHashes | None = None
    """None for a file of up to PIECE_BYTES, and in a data set that an older bertd made."""

    @model_serializer(mode="wrap")
    def _leave_out_what_older_ones_lack(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        tree: dict[str, object] = serialize(self)
        return {name: value for name, value in tree.items() if value is not None}


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


class HeldOutPieces(FrozenModel):
    """Where too few documents could be held out: what was cut out of long ones for validation."""

    documents: int
    """Documents that were cut."""
    pieces: int
    """Documents of the validation split that are pieces of them. Each begins and ends between two sentences, where the
    text has any."""


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
    only_language: str | None = None
    """Documents that an identifier takes for another language are left out; ISO 639-1."""
    where: tuple[str, ...] | None = None
    """Conditions on the columns of tables; rows that do not meet all are left out."""

    @model_serializer(mode="wrap")
    def _leave_out_what_older_ones_lack(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        tree: dict[str, object] = serialize(self)
        added = ("only_language", "where")
        return {name: value for name, value in tree.items() if value is not None or name not in added}


class Manifest(FrozenModel):
    """Content of manifest.json."""

    format: int = DATASET_FORMAT
    vocab_size: PositiveInt
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
    held_out: HeldOutPieces | None = None
    """None where each document is in one split only."""

    @model_serializer(mode="wrap")
    def _leave_out_what_older_ones_lack(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Write a field that was added later only where it says something: fingerprints are over what is written."""
        tree: dict[str, object] = serialize(self)
        return {name: value for name, value in tree.items() if value is not None}

    @property
    def fingerprint(self) -> str:
        """sha256 of the content: equal data sets have equal ones."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def count_sequences(counts: SplitCounts, *, sequence_length: int, packing: str) -> int:
    """Sequences of a split: exactly for the packing "full"; for "sentences" the least there can be, from the counts."""
    width = sequence_length - 2
    if packing == "full":
        return counts.stream_tokens // width
    return max(counts.documents, -(-counts.tokens // width))


def too_many_to_pack_message(root: Path, *, split: SplitName, num_sequences: int) -> str:
    """Why a split cannot be packed by sentences, and the remedy."""
    return (
        f"{root}: its {split} split has {num_sequences:,} rows or more of whole sentences, and their places in memory "
        f'are bounded to {MAX_PACKED_SEQUENCES:,}; set data.packing = "full", which stores none'
    )


def no_sequence_message(root: Path, *, split: SplitName, counts: SplitCounts, sequence_length: int) -> str:
    """Why a split of the data set in `root` cannot be used, and the remedy."""
    place = f"{root}: its {split} split"
    if not counts.documents:
        return f"{place} has no document; prepare it again with --validation above 0, such as the default of 0.005"
    longest = counts.stream_tokens + 2
    remedy = (
        f"set data.sequence_length = {longest} or less, or prepare" if longest >= MIN_SEQUENCE_LENGTH else "prepare"
    )
    return (
        f"{place} has {format_count(counts.tokens, 'token')}, not enough for one sequence of {sequence_length}; "
        f"{remedy} more text"
    )


def find_damage(root: Path, manifest: Manifest) -> dict[str, str]:
    """What is wrong with each file of the data set in `root` that is missing or of another size; none is read."""
    damages = ((name, _size_damage(root / name, facts.size)) for name, facts in manifest.files.items())
    return {name: damage for name, damage in damages if damage}


def damage_message(root: Path, damages: Mapping[str, str]) -> str:
    """One line that names every damaged file."""
    return f"{root}: damaged: {'; '.join(f'{name} {damage}' for name, damage in damages.items())}; prepare it again"


def _size_damage(path: Path, size: int) -> str | None:
    try:
        state = path.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(state.st_mode):
        # Opening a pipe would block for ever.
        return "is not a file"
    return f"has {state.st_size} bytes and not {size}" if state.st_size != size else None


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
        remedy = remedy_for(error, otherwise="make it with bertd data prepare")
        raise ShardError(f"{root}: no data set: {MANIFEST_FILE}: {error.strerror}; {remedy}") from error
    try:
        tree = json.loads(content)
        version = int(tree["format"])
    except RecursionError as error:
        raise ShardError(f"{path}: not a manifest: nested too deeply; prepare the data set again") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ShardError(f"{path}: not a manifest: {error!r}; prepare the data set again") from error
    if version > DATASET_FORMAT:
        raise ShardError(f"{path}: format {version}, and this bertd reads up to {DATASET_FORMAT}; use a newer bertd")
    try:
        manifest = Manifest.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ShardError(f"{path}: {where}: {describe_problem(first)}; prepare the data set again") from error
    if missing := set(get_args(SplitName)) - manifest.splits.keys():
        raise ShardError(f"{path}: splits: has no {', '.join(sorted(missing))}; prepare the data set again")
    return manifest

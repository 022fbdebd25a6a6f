"""A prepared data set: a folder of flat arrays that any sequence length and either packing is read from.

    manifest.json                       counts, options, sha256 of every other file
    tokenizer/                          what AutoTokenizer.from_pretrained loads
    train.tokens  validation.tokens     little-endian uint16, or uint32 above 65,536 entries: the stream
    train.documents  ...                int64: where each document begins in the stream, and the stream's length
    train.sentences  ...                int64: the same for each sentence

The stream is every document's tokens followed by one [SEP]. Nothing is loaded whole: arrays are memory-mapped, and
the training path reads with `pread`, where a file cut short is an error rather than a SIGBUS.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from bertd.data.manifest import MANIFEST, FileFacts, Manifest, SplitName, read_manifest
from bertd.data.sampler import IndexArray
from bertd.data.vocabulary import TokenDtype, Vocabulary, read_vocabulary, token_dtype
from bertd.errors import ShardError, VocabularyError

TOKENIZER = "tokenizer"
TOKENIZER_JSON = "tokenizer.json"

OFFSET = np.dtype("<i8")
"""Of documents and sentences."""

Number = TypeVar("Number", bound=np.generic)

_HASH_CHUNK_BYTES = 1 << 22


def split_files(split: SplitName) -> tuple[str, str, str]:
    """Names of a split's tokens, documents and sentences."""
    return f"{split}.tokens", f"{split}.documents", f"{split}.sentences"


def tokenizer_fingerprint(files: Iterable[Path]) -> str:
    """sha256 over names and contents of a tokenizer's files."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda file: file.name):
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Split:
    """One split's arrays, memory-mapped."""

    tokens: npt.NDArray[np.uint16 | np.uint32]
    """The stream: each document's tokens, then a [SEP]."""
    documents: IndexArray
    """Where each document begins in the stream; one entry more, the stream's length."""
    sentences: IndexArray
    """Where each sentence begins in the stream; one entry more, the stream's length."""

    @property
    def num_documents(self) -> int:
        return len(self.documents) - 1

    @property
    def num_sentences(self) -> int:
        return len(self.sentences) - 1


class TokenReader:
    """Reads ranges of a split's stream without mapping it, and notices when the file changes under it."""

    def __init__(self, path: Path, *, dtype: TokenDtype) -> None:
        """Open the file.

        Raises:
            ShardError: it cannot be opened.
        """
        self._path = path
        self._dtype = dtype
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ShardError(f"{path}: cannot open: {error.strerror}; prepare the data set again") from error
        self._opened_as = self._identity()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def _identity(self) -> tuple[int, int]:
        facts = os.fstat(self._fd)
        return facts.st_size, facts.st_mtime_ns

    def check(self) -> None:
        """Make sure that the file is what it was when it was opened.

        Raises:
            ShardError: it was cut short or written to.
        """
        if self._identity() != self._opened_as:
            raise ShardError(f"{self._path}: changed while it was in use; prepare the data set again")

    def read(self, starts: IndexArray, lengths: IndexArray, *, width: int) -> IndexArray:
        """Many ranges of the stream, one a row.

        Args:
            starts: token at which each range begins.
            lengths: tokens of each range, at most `width`.

        Returns:
            (n, width) ids; what lies past a range's length is 0.

        Raises:
            ShardError: the file ends before, or the disk failed.
        """
        self.check()
        rows = np.zeros((len(starts), width), dtype=self._dtype)
        size = self._dtype.itemsize
        view = rows.view(np.uint8).ravel().data
        for row, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            begin = row * width * size
            try:
                got = os.preadv(self._fd, [view[begin : begin + length * size]], start * size)
            except OSError as error:
                raise ShardError(f"{self._path}: cannot read: {error.strerror}; check the disk") from error
            if got != length * size:
                raise ShardError(
                    f"{self._path}: ends at token {start + got // size}; it was cut short: prepare it again"
                )
        return rows.astype(np.int64)


class DataSet:
    """A data set that is whole."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def open(cls, root: Path, *, verify: bool = False) -> Self:
        """Open the folder and check it against its manifest.

        Args:
            verify: read every file and compare its hash, too.

        Raises:
            ShardError: missing, of a newer format, or a file differs; every such file is named.
            VocabularyError: the tokenizer's files are not those the shards were made with.
        """
        manifest = read_manifest(root)
        dataset = cls(root, manifest)
        wrong = [f"{name} {reason}" for name, facts in manifest.files.items() if (reason := _fault(root / name, facts))]
        if wrong:
            raise ShardError(f"{root}: damaged: {'; '.join(wrong)}; prepare the data set again")
        files = [root / name for name in manifest.files if name.startswith(f"{TOKENIZER}/")]
        if tokenizer_fingerprint(files) != manifest.tokenizer.fingerprint:
            raise VocabularyError(
                f"{dataset.tokenizer_dir}: not the tokenizer that the shards were made with; prepare the data set again"
            )
        if verify:
            dataset.verify()
        return dataset

    def verify(self) -> None:
        """Compare the hash of every file.

        Raises:
            ShardError: files differ; the message names them all.
        """
        differing = [
            name for name, facts in self.manifest.files.items() if file_sha256(self.root / name) != facts.sha256
        ]
        if differing:
            raise ShardError(f"{self.root}: content changed in {', '.join(differing)}; prepare the data set again")

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest, which holds the sha256 of every file."""
        return self.manifest.fingerprint

    @property
    def tokenizer_dir(self) -> Path:
        """What `AutoTokenizer.from_pretrained` loads."""
        return self.root / TOKENIZER

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The entries behind the ids."""
        vocabulary = read_vocabulary(self.tokenizer_dir / TOKENIZER_JSON)
        assert vocabulary.size == self.manifest.vocab_size
        return vocabulary

    @property
    def dtype(self) -> TokenDtype:
        """Of the token files."""
        return token_dtype(self.manifest.vocab_size)

    def reader(self, name: SplitName) -> TokenReader:
        """For the training path."""
        return TokenReader(self.root / split_files(name)[0], dtype=self.dtype)

    def split(self, name: SplitName) -> Split:
        """Map a split's arrays.

        Raises:
            ShardError: a file does not fit the counts of the manifest.
        """
        tokens, documents, sentences = split_files(name)
        counts = self.manifest.splits[name]
        return Split(
            tokens=_map(self.root / tokens, dtype=self.dtype, length=counts.stream_tokens),
            documents=_map(self.root / documents, dtype=OFFSET, length=counts.documents + 1),
            sentences=_map(self.root / sentences, dtype=OFFSET, length=counts.sentences + 1),
        )


def _map(path: Path, *, dtype: np.dtype[Number], length: int) -> npt.NDArray[Number]:
    if path.stat().st_size != length * dtype.itemsize:
        raise ShardError(f"{path}: does not hold the {length} entries that {MANIFEST} counts; prepare it again")
    if not length:
        # An empty file cannot be mapped.
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,))


def _fault(path: Path, facts: FileFacts) -> str | None:
    """What a look at the file's size tells, in a few words."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if size == facts.size else f"has {size} bytes and not {facts.size}"

"""A prepared data set: a folder of flat arrays that serve any sequence length and both packings.

    manifest.json                       counts, options, sha256 of every other file
    tokenizer/                          what AutoTokenizer.from_pretrained loads
    train.tokens  validation.tokens     little-endian uint16, or uint32 above 65,536 entries: the stream
    train.documents  ...                int64: where each document begins in the stream, and the stream's length
    train.sentences  ...                int64: the same for each sentence

The stream is every document's tokens followed by one [SEP]. No file is loaded whole or memory-mapped: see
array_file.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from bertd.data.dataset.array_file import ArrayFile
from bertd.data.dataset.content_check import find_changed_content
from bertd.errors import ShardError, VocabularyError
from bertd.run.dataset_manifest import (
    MANIFEST_FILE,
    Manifest,
    SplitName,
    damage_message,
    find_damage,
    read_manifest,
)
from bertd.tokenizer.vocabulary import TokenDtype, Vocabulary, read_vocabulary, token_dtype

TOKENIZER_FOLDER = "tokenizer"
TOKENIZER_JSON = "tokenizer.json"

OFFSET = np.dtype("<i8")
"""Type of the documents and sentences files."""

_HASH_CHUNK_BYTES = 1 << 22


def split_file_names(split: SplitName) -> tuple[str, str, str]:
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
    """One split's files."""

    tokens: ArrayFile
    """The stream: each document's tokens, then a [SEP]."""
    documents: ArrayFile
    """Where each document begins in the stream; one entry more, the stream's length."""
    sentences: ArrayFile
    """Where each sentence begins in the stream; one entry more, the stream's length."""

    @property
    def num_documents(self) -> int:
        return len(self.documents) - 1

    @property
    def num_sentences(self) -> int:
        return len(self.sentences) - 1


class DataSet:
    """A complete data set."""

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
        damages = find_damage(root, manifest)
        if verify:
            damages |= find_changed_content(
                root, {name: facts for name, facts in manifest.files.items() if name not in damages}
            )
        if damages:
            raise ShardError(damage_message(root, damages))
        files = [root / name for name in manifest.files if name.startswith(f"{TOKENIZER_FOLDER}/")]
        if tokenizer_fingerprint(files) != manifest.tokenizer.fingerprint:
            raise VocabularyError(
                f"{dataset.tokenizer_dir}: not the tokenizer that the shards were made with; prepare the data set again"
            )
        return dataset

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest, which holds the sha256 of every file."""
        return self.manifest.fingerprint

    @property
    def tokenizer_dir(self) -> Path:
        """What `AutoTokenizer.from_pretrained` loads."""
        return self.root / TOKENIZER_FOLDER

    @cached_property
    def vocabulary(self) -> Vocabulary:
        vocabulary = read_vocabulary(self.tokenizer_dir / TOKENIZER_JSON)
        assert vocabulary.size == self.manifest.vocab_size
        return vocabulary

    @property
    def dtype(self) -> TokenDtype:
        """Type of the token files."""
        return token_dtype(self.manifest.vocab_size)

    def split(self, name: SplitName) -> Split:
        """Open a split's files.

        Raises:
            ShardError: a file cannot be opened, or does not fit the counts of the manifest.
        """
        tokens, documents, sentences = split_file_names(name)
        counts = self.manifest.splits[name]
        return Split(
            tokens=self._open_array(tokens, dtype=self.dtype, length=counts.stream_tokens),
            documents=self._open_array(documents, dtype=OFFSET, length=counts.documents + 1),
            sentences=self._open_array(sentences, dtype=OFFSET, length=counts.sentences + 1),
        )

    def _open_array(self, name: str, *, dtype: np.dtype[Any], length: int) -> ArrayFile:
        file = ArrayFile(self.root / name, dtype=dtype)
        if len(file) != length:
            raise ShardError(
                f"{self.root / name}: does not hold the {length} entries that {MANIFEST_FILE} counts; prepare it again"
            )
        return file

"""The demo's data on disk: a corpus for the pretraining and, from other modules, a task for the finetuning.

    DATA-<hash>/  corpus.jsonl  corpus.json  glue/CoLA/train.tsv  glue/CoLA/dev.tsv  vocabulary/  shards/

The hash covers the files that are read and the code that reads them, so equal content is built once. corpus.json is
written last: a folder without it is incomplete and is built again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bertd.demo.docstrings import Document, SourceFile, fingerprint, read_documents
from bertd.demo.package_task import make_task, write_task
from bertd.demo.prose import sentences
from bertd.demo.word_counts import WordCountScore, score_word_counts
from bertd.errors import CorpusError, StorageError
from bertd.records import Record
from bertd.run.atomic_files import SHARED_MODE, atomic_write

_PREFIX = "data-"
_HELD_OUT_SHARE = 1 / 8
"""Share of the modules that the pretraining does not read; the task is made from them."""


class CorpusFacts(Record):
    """Content of corpus.json."""

    num_files: int
    """Python files that were read."""
    num_documents: int
    """Modules that the pretraining reads."""
    num_characters: int
    num_held_out: int
    """Modules held out from it."""
    num_train: int
    """Examples of the task."""
    num_dev: int
    package: str
    """Whose sentences the task asks for."""
    word_counts: WordCountScore
    """What words alone score in the task."""
    sha256: str
    """Of corpus.jsonl."""


@dataclass(frozen=True)
class CorpusPaths:
    """Names inside the data folder."""

    root: Path

    @property
    def corpus(self) -> Path:
        """JSON lines, {"text": ...}, one per module."""
        return self.root / "corpus.jsonl"

    @property
    def facts(self) -> Path:
        return self.root / "corpus.json"

    @property
    def glue(self) -> Path:
        """A data folder in GLUE's layout."""
        return self.root / "glue"

    @property
    def vocabulary(self) -> Path:
        return self.root / "vocabulary"

    @property
    def shards(self) -> Path:
        return self.root / "shards"


def prepare_corpus_folder(folder: Path, sources: list[SourceFile]) -> CorpusPaths:
    """Create the data folder for these sources; remove data of other sources.

    Raises:
        StorageError: the folder cannot be created.
    """
    paths = CorpusPaths(folder / f"{_PREFIX}{fingerprint(sources)[:12]}")
    try:
        paths.root.mkdir(parents=True, exist_ok=True)
        for other in folder.glob(f"{_PREFIX}*"):
            if other != paths.root:
                shutil.rmtree(other)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}; free space or check the permissions") from error
    return paths


def read_facts(paths: CorpusPaths) -> CorpusFacts | None:
    """Content of corpus.json; None if it is missing or does not match the corpus."""
    try:
        facts = CorpusFacts.model_validate_json(paths.facts.read_bytes())
        is_same = hashlib.sha256(paths.corpus.read_bytes()).hexdigest() == facts.sha256
    except (OSError, ValidationError):
        return None
    return facts if is_same else None


def build_corpus(
    paths: CorpusPaths, sources: list[SourceFile], *, num_workers: int, on_read: Callable[[SourceFile], None]
) -> CorpusFacts:
    """Read all sources and write the corpus and the task.

    Raises:
        CorpusError: no documentation in them, or too little.
        StorageError: a file cannot be written.
    """
    documents: list[Document] = []
    for source, document in read_documents(sources, num_workers=num_workers):
        on_read(source)
        if document is not None:
            documents.append(document)
    held_out = [document for document in documents if is_held_out(document.name)]
    pretrain_documents = [document for document in documents if not is_held_out(document.name)]
    if not pretrain_documents:
        raise CorpusError(f"{len(sources)} Python files: no documentation in them; read more with --source-mb")
    seen = {sentence for document in pretrain_documents for text in document.paragraphs for sentence in sentences(text)}
    task = make_task(held_out, seen=seen)
    lines = [json.dumps({"text": "\n".join(document.paragraphs)}) + "\n" for document in pretrain_documents]
    content = "".join(lines).encode()
    atomic_write(paths.corpus, content, mode=SHARED_MODE)
    write_task(task, paths.glue / "CoLA")
    facts = CorpusFacts(
        num_files=len(sources),
        num_documents=len(pretrain_documents),
        num_characters=sum(len(text) for document in pretrain_documents for text in document.paragraphs),
        num_held_out=len(held_out),
        num_train=len(task.train),
        num_dev=len(task.dev),
        package=task.package,
        word_counts=score_word_counts(task.train, task.dev),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    atomic_write(paths.facts, facts.model_dump_json(indent=2) + "\n", mode=SHARED_MODE)
    return facts


def is_held_out(name: str) -> bool:
    """Whether a module is held out from the pretraining, decided by the hash of its name."""
    hash_value = int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8])
    return hash_value < _HELD_OUT_SHARE * 2**64

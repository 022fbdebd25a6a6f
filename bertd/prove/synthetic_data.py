"""A data set made on the spot: token ids by Zipf's law in documents of sentences, and a vocabulary of made-up words.

No text and no network: the files are those of bertd.data.dataset, so that everything that reads a data set reads this.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from bertd.data.dataset.shards import OFFSET, TOKENIZER_FOLDER, file_sha256, split_file_names, tokenizer_fingerprint
from bertd.run.atomic_files import SHARED_MODE, atomic_write, temporary_folder
from bertd.run.dataset_manifest import (
    MANIFEST_FILE,
    FileFacts,
    Filters,
    Manifest,
    SourceCounts,
    SplitCounts,
    SplitName,
    TokenizerFacts,
)
from bertd.tokenizer.save import tokenizer_files
from bertd.tokenizer.tokenizer_json import BERT_TOKENS
from bertd.tokenizer.vocabulary import make_vocabulary, token_dtype
from bertd.tokenizer.wordpiece import Casing, build_wordpiece_tokenizer

_NUM_SPECIAL = len(BERT_TOKENS)
_SENTENCE_TOKENS = 20
_DOCUMENT_SENTENCES = 10


def made_up_words(vocab_size: int) -> list[str]:
    """One for each id from the special tokens on: letters alone, so that each is one word piece."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = []
    for index in range(vocab_size - _NUM_SPECIAL):
        word, rest = "", index
        for _ in range(4):
            rest, letter = divmod(rest, len(letters))
            word += letters[letter]
        words.append(word)
    return words


def ensure_dataset(folder: Path, *, vocab_size: int, train_tokens: int, validation_tokens: int) -> Path:
    """Make it where it is not there yet; the same every time, also by two steps at once.

    Raises:
        OSError: the disk refused.
    """
    if (folder / MANIFEST_FILE).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as temporary:
        _write(temporary, vocab_size, {"train": train_tokens, "validation": validation_tokens})
        try:
            temporary.rename(folder)
        except OSError:
            # Another step was first.
            if not (folder / MANIFEST_FILE).is_file():
                raise
            shutil.rmtree(temporary)
    return folder


def _write(folder: Path, vocab_size: int, sizes: dict[SplitName, int]) -> None:
    entries = (*BERT_TOKENS.values(), *made_up_words(vocab_size))
    vocabulary = make_vocabulary(entries, place="made up")
    casing = Casing(lowercase=True, strip_accents=True)
    tokenizer = build_wordpiece_tokenizer(entries, casing=casing, place="made up")
    tokenizer_dir = folder / TOKENIZER_FOLDER
    tokenizer_dir.mkdir()
    for name, content in tokenizer_files(tokenizer, place="made up").items():
        atomic_write(tokenizer_dir / name, content, mode=SHARED_MODE)
    generator = np.random.default_rng(0)
    counts = {
        split: _write_split(folder, split, num_tokens, vocab_size=vocab_size, sep=vocabulary.sep, generator=generator)
        for split, num_tokens in sizes.items()
    }
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = Manifest(
        vocab_size=vocab_size,
        tokenizer=TokenizerFacts(
            fingerprint=tokenizer_fingerprint(tokenizer_dir.iterdir()),
            lowercase=casing.lowercase,
            strip_accents=casing.strip_accents,
            pad=vocabulary.pad,
            unk=vocabulary.unk,
            cls=vocabulary.cls,
            sep=vocabulary.sep,
            mask=vocabulary.mask,
        ),
        splits=counts,
        validation_share=sizes["validation"] / sum(sizes.values()),
        language="en",
        sources=[
            SourceCounts(
                kind="made up",
                path="bertd.prove.synthetic_data",
                files=0,
                bytes=0,
                read=sum(each.documents for each in counts.values()),
                skipped={},
                kept=SplitCounts(
                    documents=sum(each.documents for each in counts.values()),
                    sentences=sum(each.sentences for each in counts.values()),
                    tokens=sum(each.tokens for each in counts.values()),
                ),
            )
        ],
        filters=Filters(dedup="none"),
        files={
            str(path.relative_to(folder)): FileFacts(size=path.stat().st_size, sha256=file_sha256(path))
            for path in paths
        },
    )
    atomic_write(folder / MANIFEST_FILE, manifest.model_dump_json(indent=1) + "\n", mode=SHARED_MODE)


def _write_split(
    folder: Path, split: SplitName, num_tokens: int, *, vocab_size: int, sep: int, generator: np.random.Generator
) -> SplitCounts:
    per_document = _SENTENCE_TOKENS * _DOCUMENT_SENTENCES
    num_documents = max(1, num_tokens // per_document)
    shares = 1.0 / np.arange(1, vocab_size - _NUM_SPECIAL + 1)
    drawn = generator.choice(len(shares), size=(num_documents, per_document), p=shares / shares.sum()) + _NUM_SPECIAL
    stream = np.concatenate([drawn, np.full((num_documents, 1), sep)], axis=1)
    documents = np.arange(num_documents + 1) * (per_document + 1)
    starts = documents[:-1, None] + np.arange(_DOCUMENT_SENTENCES) * _SENTENCE_TOKENS
    sentences = np.append(starts.ravel(), stream.size)
    arrays = (
        stream.ravel().astype(token_dtype(vocab_size)),
        documents.astype(OFFSET),
        sentences.astype(OFFSET),
    )
    for name, array in zip(split_file_names(split), arrays, strict=True):
        atomic_write(folder / name, array.tobytes(), mode=SHARED_MODE)
    return SplitCounts(
        documents=num_documents,
        sentences=num_documents * _DOCUMENT_SENTENCES,
        tokens=num_documents * per_document,
    )

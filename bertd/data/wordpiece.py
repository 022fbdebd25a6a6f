"""A WordPiece tokenizer: opened from wherever it is, saved as stock transformers loads it, and fast.

A BERT tokenizer treats every run of characters between two spaces on its own, and text repeats its words. So
`ChunkEncoder` asks `tokenizers` once for each distinct run, and then looks it up: the same ids (tests compare them
on real text and on odd text) at several times the speed. `tokenizers` itself has no such cache for WordPiece.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertd.data.vocabulary import SPECIAL_TOKENS, Vocabulary, make_vocabulary
from bertd.errors import VocabularyError

_CONFIG = "tokenizer_config.json"
_HUB_FILES = ("tokenizer.json", "vocab.txt", _CONFIG)
MODEL_MAX_LENGTH = 512
"""Written for transformers, which warns about longer inputs. Source: BERT's positions."""

MAX_CHUNKS = 200_000
"""Distinct runs remembered before the memory is cleared: about 60 MB, and 97 % of the runs of English prose."""

# The BERT normalizer deletes control characters, but str.split takes these few for spaces.
_DELETED = re.compile("[\x0b\x0c\x1c-\x1f\x85]")

# Every printable ASCII character but letters and digits is a word of its own.
_ASCII_WORD = re.compile("[A-Za-z0-9]+|[^A-Za-z0-9]")


@dataclass(frozen=True)
class Casing:
    """What the normalizer does to letters."""

    lowercase: bool
    strip_accents: bool


def build_tokenizer(entries: tuple[str, ...], *, casing: Casing, place: str) -> Tokenizer:
    """BERT's tokenizer over a vocabulary.

    Raises:
        VocabularyError: a special token is missing.
    """
    vocabulary = make_vocabulary(entries, place=place)
    ids = {entry: i for i, entry in enumerate(entries)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token=SPECIAL_TOKENS["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=casing.lowercase, strip_accents=casing.strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary.cls), ("[SEP]", vocabulary.sep)],
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS.values()]
    )
    return tokenizer


def open_tokenizer(where: str) -> Tokenizer:
    """A tokenizer from a folder, a `tokenizer.json`, a `vocab.txt`, or a name on the hub.

    A bare vocab.txt says nothing of case: it is taken for cased if an entry has a capital letter.

    Raises:
        VocabularyError: nothing is there, it cannot be read, or it is no BERT WordPiece tokenizer.
    """
    path = Path(where)
    if path.is_dir():
        tokenizer = _open_folder(path)
    elif path.is_file():
        tokenizer = _open_file(path)
    else:
        tokenizer = _open_folder(_fetch(where))
    _check(tokenizer, place=where)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _open_folder(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return _open_file(folder / "tokenizer.json")
    if (folder / "vocab.txt").is_file():
        return _open_file(folder / "vocab.txt")
    raise VocabularyError(f"{folder}: neither tokenizer.json nor vocab.txt is in it; make one with bertd data vocab")


def _open_file(path: Path) -> Tokenizer:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VocabularyError(f"{path}: cannot read the vocabulary: {error}") from error
    if content.lstrip().startswith("{"):
        try:
            return Tokenizer.from_str(content)
        except Exception as error:  # tokenizers raises bare Exception
            raise VocabularyError(f"{path}: not a tokenizer that tokenizers can load: {error}") from error
    entries = tuple(line.rstrip("\r") for line in content.rstrip("\n").split("\n"))
    return build_tokenizer(entries, casing=_casing_of(entries, path.with_name(_CONFIG)), place=str(path))


def _casing_of(entries: tuple[str, ...], config: Path) -> Casing:
    special = set(SPECIAL_TOKENS.values())
    lowercase = not any(entry.lower() != entry for entry in entries if entry not in special)
    strip_accents = lowercase
    if config.is_file():
        try:
            said = json.loads(config.read_bytes())
        except ValueError as error:
            raise VocabularyError(f"{config}: not JSON: {error}; mend it or remove it") from error
        lowercase = bool(said.get("do_lower_case", lowercase))
        # Null means: as lowercase does.
        strip_accents = lowercase if said.get("strip_accents") is None else bool(said["strip_accents"])
    return Casing(lowercase=lowercase, strip_accents=strip_accents)


def _fetch(name: str) -> Path:
    """The folder of a tokenizer's files from the hub, or from the hub's cache on this machine.

    Raises:
        VocabularyError: the hub has no such name, or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except HFValidationError as error:
        raise VocabularyError(f"{name}: no such folder or file, and no name on the hub; give one of them") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise VocabularyError(
            f"{name}: no such folder or file, and not to be had from the hub ({type(error).__name__}); "
            "give a folder, or fetch it where there is a network"
        ) from error


def _check(tokenizer: Tokenizer, *, place: str) -> None:
    """Make sure that runs between spaces are encoded each on its own, as ChunkEncoder takes for granted.

    Raises:
        VocabularyError: they are not.
    """
    tree = json.loads(tokenizer.to_str())
    parts = {name: (tree.get(name) or {}).get("type") for name in ("model", "normalizer", "pre_tokenizer")}
    expected = {"model": "WordPiece", "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer"}
    if parts != expected or not tree["normalizer"]["clean_text"]:
        raise VocabularyError(f"{place}: not a BERT WordPiece tokenizer ({parts}); bertd trains BERT's kind only")
    plain = [token["content"] for token in tree["added_tokens"] if not token["special"]]
    if plain:
        raise VocabularyError(f"{place}: adds {plain[0]!r} outside its vocabulary; put it into the vocabulary")


def casing_of(tokenizer: Tokenizer) -> Casing:
    """What its normalizer does to letters."""
    normalizer = json.loads(tokenizer.to_str())["normalizer"]
    lowercase, strip = bool(normalizer["lowercase"]), normalizer["strip_accents"]
    return Casing(lowercase=lowercase, strip_accents=lowercase if strip is None else bool(strip))


def vocabulary_of(tokenizer: Tokenizer, *, place: str) -> Vocabulary:
    """Its entries in the order of their ids.

    Raises:
        VocabularyError: the ids have gaps, or a special token is missing.
    """
    ids: dict[str, int] = tokenizer.get_vocab()
    if sorted(ids.values()) != list(range(len(ids))):
        raise VocabularyError(f"{place}: its {len(ids)} ids are not 0 to {len(ids) - 1}; mend the vocabulary")
    return make_vocabulary(tuple(sorted(ids, key=ids.__getitem__)), place=place)


def tokenizer_files(tokenizer: Tokenizer, *, place: str) -> dict[str, bytes]:
    """The files that `AutoTokenizer.from_pretrained` loads, by name; the same tokenizer gives the same bytes.

    Raises:
        VocabularyError: the vocabulary is unusable.
    """
    casing = casing_of(tokenizer)
    config: dict[str, object] = {
        "do_lower_case": casing.lowercase,
        "model_max_length": MODEL_MAX_LENGTH,
        "strip_accents": casing.strip_accents,
        "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer",
    }
    config |= {f"{role}_token": token for role, token in SPECIAL_TOKENS.items()}
    entries = vocabulary_of(tokenizer, place=place).entries
    tree = json.loads(tokenizer.to_str())
    # tokenizers writes the vocabulary in the order of a hash table.
    tree["model"]["vocab"] = {entry: i for i, entry in enumerate(entries)}
    return {
        "tokenizer.json": (json.dumps(tree, ensure_ascii=False, indent=1) + "\n").encode(),
        "tokenizer_config.json": (json.dumps(config, indent=1, sort_keys=True) + "\n").encode(),
        "vocab.txt": "".join(f"{entry}\n" for entry in entries).encode(),
    }


@dataclass(frozen=True)
class Encoded:
    """Sentences as ids, one after the other."""

    tokens: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.int64]
    """Tokens of each sentence; some may have none."""


class ChunkEncoder:
    """Encodes sentences by remembering the ids of every run between spaces."""

    def __init__(self, tokenizer: Tokenizer, *, max_chunks: int = MAX_CHUNKS) -> None:
        # Text that spells "[SEP]" is text: it must not become a special token in the stream.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._lowercase = casing_of(tokenizer).lowercase
        self._max_chunks = max_chunks
        self._words = _Words(tokenizer)
        self._numbers = _Numbers()
        self._table = _Table()

    def encode(self, sentences: list[str]) -> Encoded:
        """Ids without special tokens, equal to what `tokenizers` gives for each sentence."""
        if len(self._numbers) > self._max_chunks:
            self._numbers = _Numbers()
            self._table = _Table()
            self._words.clear()
        chunks: list[str] = []
        ends = np.empty(len(sentences) + 1, dtype=np.int64)
        ends[0] = 0
        for index, sentence in enumerate(sentences):
            chunks += _split(sentence)
            ends[index + 1] = len(chunks)
        numbers = np.fromiter(map(self._numbers.__getitem__, chunks), dtype=np.int64, count=len(chunks))
        if self._numbers.unknown:
            self._table.add(self._encode_unknown(self._numbers.unknown))
            self._numbers.unknown.clear()
        tokens, counts = self._table.look_up(numbers)
        reached = np.concatenate([[0], np.cumsum(counts)])
        return Encoded(tokens=tokens, lengths=np.diff(reached[ends]))

    def _encode_unknown(self, chunks: list[str]) -> list[list[int]]:
        """Ids of runs that are met for the first time."""
        is_ascii = [chunk.isascii() and chunk.isprintable() for chunk in chunks]
        others = [chunk for chunk, plain in zip(chunks, is_ascii, strict=True) if not plain]
        encodings = iter(self._tokenizer.encode_batch_fast(others, add_special_tokens=False))
        return [
            self._encode_ascii(chunk) if plain else list(next(encodings).ids)
            for chunk, plain in zip(chunks, is_ascii, strict=True)
        ]

    def _encode_ascii(self, chunk: str) -> list[int]:
        """What the BERT normalizer and splitter do to ASCII, at a fifth of the time they take."""
        words = _ASCII_WORD.findall(chunk.lower() if self._lowercase else chunk)
        return [i for word in words for i in self._words[word]]


def _split(sentence: str) -> list[str]:
    if not sentence.isprintable():
        sentence = _DELETED.sub("", sentence)
    return sentence.split()


class _Words(dict[str, list[int]]):
    """The ids of words, which the model is asked for once each."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._model = tokenizer.model

    def __missing__(self, word: str) -> list[int]:
        ids = [token.id for token in self._model.tokenize(word)]
        self[word] = ids
        return ids


class _Numbers(dict[str, int]):
    """Numbers each run as it is first met, and lists the new ones."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: list[str] = []

    def __missing__(self, chunk: str) -> int:
        number = len(self)
        self[chunk] = number
        self.unknown.append(chunk)
        return number


class _Table:
    """The ids of each numbered run, end to end."""

    def __init__(self) -> None:
        self._ids = np.empty(0, dtype=np.uint32)
        self._starts = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)

    def add(self, runs: list[list[int]]) -> None:
        counts = np.fromiter(map(len, runs), dtype=np.int64, count=len(runs))
        starts = len(self._ids) + np.cumsum(counts) - counts
        flat = [i for run in runs for i in run]
        self._ids = np.concatenate([self._ids, np.array(flat, dtype=np.uint32)])
        self._starts = np.concatenate([self._starts, starts])
        self._counts = np.concatenate([self._counts, counts])

    def look_up(self, numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """All ids of the runs so numbered, and how many each has."""
        counts = self._counts[numbers]
        ends = np.cumsum(counts)
        places = np.repeat(self._starts[numbers] - (ends - counts), counts)
        places += np.arange(len(places))
        return self._ids[places], counts

"""Open a tokenizer from a file, a folder or the hub."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer

from bertd.errors import VocabularyError
from bertd.hub import hub_unreachable_reason
from bertd.tokenizer.byte_level import ADDS_SPACE, MERGES_FILE, VOCAB_FILE, build_byte_level_tokenizer
from bertd.tokenizer.errors import translate_tokenizer_errors
from bertd.tokenizer.stock import SETTINGS_FILES, TOKENIZER_CONFIG, has_settings, open_stock_tokenizer
from bertd.tokenizer.vocabulary import Vocabulary, make_vocabulary, vocabulary_from_json
from bertd.tokenizer.wordpiece import Casing, build_wordpiece_tokenizer, guess_lowercase, read_entries

_HUB_FILES = ("tokenizer.json", "vocab.txt", VOCAB_FILE, MERGES_FILE, *SETTINGS_FILES)
_UNSEEN_TEXT = "a \U0010fffd\u0378 1"
"""Has a character for private use and one that is not assigned."""


def open_tokenizer(where: str) -> Tokenizer:
    """A tokenizer from a folder, a `tokenizer.json`, a `vocab.txt`, or a name on the hub.

    A bare vocab.txt does not record the casing: it counts as cased if an entry has a capital letter.

    Raises:
        VocabularyError: nothing is there, it cannot be read, or its vocabulary is not fit for a masked language model.
    """
    try:
        tokenizer = _find_tokenizer(where)
    except OSError as error:
        raise VocabularyError(f"{where}: cannot read: {error.strerror}; check the permissions") from error
    # Report what is wrong with it here, before anything reads a corpus.
    vocabulary_from_tokenizer(tokenizer, place=where)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _require_any_text(tokenizer, place=where)
    return tokenizer


def _require_any_text(tokenizer: Tokenizer, *, place: str) -> None:
    """Check that the tokenizer encodes text that it has no entry for.

    Raises:
        VocabularyError: it does not.
    """
    try:
        with translate_tokenizer_errors():
            tokenizer.encode(_UNSEEN_TEXT, add_special_tokens=False)
    except RuntimeError as error:
        raise VocabularyError(
            f"{place}: cannot encode every text: {error}; give its model an entry for what is unknown, or use another"
        ) from error


def _find_tokenizer(where: str) -> Tokenizer:
    path = Path(where)
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_file(path)
    return _open_folder(_fetch_from_hub(where))


def _open_folder(folder: Path) -> Tokenizer:
    for name in ("tokenizer.json", "vocab.txt"):
        if (folder / name).is_file():
            return _open_file(folder / name)
    if (folder / VOCAB_FILE).is_file() and (folder / MERGES_FILE).is_file():
        if has_settings(folder, besides=ADDS_SPACE):
            return open_stock_tokenizer(folder, lowercase=None)
        return build_byte_level_tokenizer(folder, config=folder / TOKENIZER_CONFIG)
    raise VocabularyError(
        f"{folder}: neither tokenizer.json nor vocab.txt nor {VOCAB_FILE} with {MERGES_FILE} is in it; "
        "make one with bertd data vocab"
    )


def _open_file(path: Path) -> Tokenizer:
    try:
        content = path.read_text(encoding="utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{path}: cannot read the vocabulary: it is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise VocabularyError(f"{path}: cannot read the vocabulary: {error}") from error
    if content.lstrip().startswith("{"):
        try:
            with translate_tokenizer_errors():
                return Tokenizer.from_str(content)
        except RuntimeError as error:
            raise VocabularyError(f"{path}: not a tokenizer that tokenizers can load: {error}") from error
    entries = read_entries(content)
    lowercase = guess_lowercase(entries)
    if path.name == "vocab.txt" and has_settings(path.parent):
        make_vocabulary(entries, place=str(path))
        return open_stock_tokenizer(path.parent, lowercase=lowercase)
    casing = Casing(lowercase=lowercase, strip_accents=lowercase)
    return build_wordpiece_tokenizer(entries, casing=casing, place=str(path))


def _fetch_from_hub(name: str) -> Path:
    """The folder of a tokenizer's files from the hub, or from the hub's cache on this machine.

    Raises:
        VocabularyError: the hub has no such name, or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    unreachable = hub_unreachable_reason(name, kind="model")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=unreachable is not None))
    except HFValidationError as error:
        raise VocabularyError(
            f"{name}: no such folder or file, and not a valid name on the hub; give one of them"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = unreachable or str(error).split("\n", 1)[0]
        raise VocabularyError(
            f"{name}: no such folder or file, and cannot be fetched from the hub: {reason}; "
            "give a folder, or fetch it where there is a network"
        ) from error


def vocabulary_from_tokenizer(tokenizer: Tokenizer, *, place: str) -> Vocabulary:
    """The tokenizer's vocabulary.

    Raises:
        VocabularyError: the ids have gaps, or a special token is missing.
    """
    return vocabulary_from_json(json.loads(tokenizer.to_str()), place=place)

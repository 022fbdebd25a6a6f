"""A WordPiece tokenizer: opened from wherever it is, and saved as stock transformers loads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertd.data.hub import why_unreachable
from bertd.data.vocabulary import SPECIAL_TOKENS, Vocabulary, make_vocabulary
from bertd.errors import VocabularyError

_CONFIG = "tokenizer_config.json"
_HUB_FILES = ("tokenizer.json", "vocab.txt", _CONFIG)
MODEL_MAX_LENGTH = 512
"""Written for transformers, which warns about longer inputs. Source: BERT's positions."""


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
    try:
        tokenizer = _find_tokenizer(where)
    except OSError as error:
        raise VocabularyError(f"{where}: cannot be looked at: {error.strerror}; mend the permissions") from error
    _check(tokenizer, place=where)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _find_tokenizer(where: str) -> Tokenizer:
    path = Path(where)
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_file(path)
    return _open_folder(_fetch(where))


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

    unreachable = why_unreachable(name, kind="model")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=unreachable is not None))
    except HFValidationError as error:
        raise VocabularyError(f"{name}: no such folder or file, and no name on the hub; give one of them") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = unreachable or str(error).split("\n", 1)[0]
        raise VocabularyError(
            f"{name}: no such folder or file, and not to be had from the hub: {reason}; "
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

"""Tokenizers as stock transformers opens them: read from a folder without tokenizer.json, and compared with ours.

A folder with vocab.txt, or with vocab.json and merges.txt, has its settings in several files: tokenizer_config.json,
special_tokens_map.json, added_tokens.json. transformers is what defines them, so it reads them; this takes seconds,
which only such a folder pays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bertd.errors import VocabularyError
from bertd.tokenizer.errors import translate_tokenizer_errors

TOKENIZER_CONFIG = "tokenizer_config.json"
SETTINGS_FILES = (TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json")
"""What a folder may have next to its vocabulary."""

ODD_TEXTS = (
    "The QUICK brown fox, naïve café Ünïcode Straße İstanbul ﬁne",
    "这个任务很难。東京都は日本の首都です 서울은 수도이다",
    "में है नहीं क्या ไทยภาษา العَرَبِيَّة עִבְרִית Việt Nam ка\u0301мень a\u0308",
    "1,234.56 don't e-mail x_y @user #tag https://a.b/c?d=e (a) [b] {c} <d> “e” «f» … — – ½ № ™",
    "zero\u200bwidth soft\u00adhyphen no\u00a0break \u2028line join\u200der 👩‍👩‍👧 🏳️‍🌈 \U0010fffd \u0378 ￼",
    "tab\tand\u3000ideographic space control\u0001\u0008\u007f\u0085char",
    "a" * 99 + " " + "b" * 100 + " " + "c" * 101 + " " + "d" * 250,
    "##piece ## # ##2 un##able Ġword ▁word </w> @@",
)
"""Text on which two tokenizers with one differing setting give different ids. None spells a special token: a data set
encodes that as text, and transformers as the token."""


def open_stock_tokenizer(folder: Path, *, lowercase: bool | None) -> Tokenizer:
    """The tokenizer of a folder without tokenizer.json, with every setting in it, as transformers opens it.

    Args:
        lowercase: for BERT's tokenizer where no file says it; None where the vocabulary is of another kind.

    Raises:
        VocabularyError: a file is damaged, or transformers has no tokenizer of that class that could be written as
            tokenizer.json.
    """
    config = _read_object(folder / TOKENIZER_CONFIG)
    for file in SETTINGS_FILES[1:]:
        _read_object(folder / file)
    name = config.get("tokenizer_class")
    remedy = "give a folder with tokenizer.json"
    import transformers  # seconds that other vocabularies need not pay

    if name is None:
        tokenizer_class: Any = transformers.BertTokenizer if lowercase is not None else transformers.RobertaTokenizer
    elif not isinstance(name, str) or not hasattr(transformers, name):
        raise VocabularyError(
            f"{folder}: {TOKENIZER_CONFIG}: tokenizer_class = {name!r:.60}, which transformers does not have; {remedy}"
        )
    else:
        tokenizer_class = getattr(transformers, name)
    options = {} if lowercase is None or "do_lower_case" in config else {"do_lower_case": lowercase}
    loaded = _load(folder, lambda: tokenizer_class.from_pretrained(folder, local_files_only=True, **options))
    backend = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise VocabularyError(
            f"{folder}: {TOKENIZER_CONFIG}: tokenizer_class = {name!r}, which the tokenizers library does not read; "
            f"{remedy}"
        )
    return Tokenizer.from_str(backend.to_str())


def has_settings(folder: Path, *, besides: str = "") -> bool:
    """Whether other files than the vocabulary decide what the tokenizer of a folder does.

    Args:
        besides: a key of tokenizer_config.json that does not count.

    Raises:
        VocabularyError: tokenizer_config.json is damaged.
    """
    names = _read_object(folder / TOKENIZER_CONFIG).keys() - {besides}
    return bool(names) or any((folder / name).exists() for name in SETTINGS_FILES[1:])


def require_stock_ids(folder: Path) -> None:
    """Check that transformers opens the files in `folder` as a tokenizer with the ids of its tokenizer.json.

    Raises:
        VocabularyError: it gives other ids for some text, or cannot open them.
    """
    from transformers import AutoTokenizer  # seconds that most commands need not pay

    ours = Tokenizer.from_file(str(folder / "tokenizer.json"))
    stock = _load(folder, lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True))
    for text in ODD_TEXTS:
        for pair in (None, ODD_TEXTS[0]):
            wanted, found = ours.encode(text, pair).ids, stock(text, pair)["input_ids"]
            if wanted != found:
                raise VocabularyError(
                    f"{folder}: transformers opens these files as a {type(stock).__name__} that gives other ids than "
                    f"tokenizer.json, for example for {_first_difference(ours, stock, text)!r}; use another vocabulary"
                )
    if stock.get_vocab() != ours.get_vocab():
        raise VocabularyError(
            f"{folder}: transformers opens these files as a {type(stock).__name__} of {len(stock):,} entries and not "
            f"{ours.get_vocab_size():,}; use another vocabulary"
        )


def _first_difference(ours: Tokenizer, stock: Any, text: str) -> str:
    """The first word with other ids; the text, if only its parts together have them."""
    for word in text.split():
        if ours.encode(word).ids != stock(word)["input_ids"]:
            return word[:40]
    return text[:40]


def _load(folder: Path, load: Callable[[], Any]) -> Any:
    import transformers

    transformers.utils.logging.set_verbosity_error()
    try:
        with translate_tokenizer_errors():
            return load()
    except Exception as error:
        # The edge of a library that raises anything for a damaged file, or for a class whose package is not installed.
        first_line = (str(error).strip() or repr(error)).splitlines()[0][:300]
        raise VocabularyError(
            f"{folder}: transformers cannot open this tokenizer: {first_line}; fix its files, or give a folder with "
            "tokenizer.json"
        ) from error


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file.

    Raises:
        VocabularyError: the file is something else.
    """
    if not path.is_file():
        return {}
    try:
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise VocabularyError(f"{path}: not JSON: {error}; fix it or remove it") from error
    if not isinstance(tree, dict):
        raise VocabularyError(f"{path}: not a JSON object; fix it or remove it")
    return tree

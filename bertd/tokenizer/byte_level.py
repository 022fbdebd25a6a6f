"""RoBERTa's tokenizer, byte-level BPE, built from its two files.

Text is spelled in 256 characters that stand for its bytes, so nothing is unknown.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from bertd.errors import VocabularyError
from bertd.tokenizer.errors import translate_tokenizer_errors
from bertd.tokenizer.tokenizer_json import special_ids

VOCAB_FILE, MERGES_FILE = "vocab.json", "merges.txt"
ADDS_SPACE = "add_prefix_space"
"""The only setting that is read here."""


def build_byte_level_tokenizer(folder: Path, *, config: Path) -> Tokenizer:
    """RoBERTa's tokenizer from its two files.

    Args:
        folder: holds VOCAB_FILE and MERGES_FILE.
        config: a tokenizer_config.json that may add a space before the first word.

    Raises:
        VocabularyError: a file is damaged, or a special token is missing.
    """
    try:
        with translate_tokenizer_errors():
            model = BPE.from_file(str(folder / VOCAB_FILE), str(folder / MERGES_FILE))
        ids: dict[str, int] = json.loads((folder / VOCAB_FILE).read_bytes())
        adds_space = bool(json.loads(config.read_bytes()).get(ADDS_SPACE)) if config.is_file() else False
    except (OSError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise VocabularyError(
            f"{folder}: {VOCAB_FILE} and {MERGES_FILE} do not make a tokenizer: {error}; fix the two files"
        ) from error
    special = special_ids({"model": {"type": "BPE", "vocab": ids}, "added_tokens": []}, place=str(folder / VOCAB_FILE))
    names = {number: entry for entry, number in ids.items()}
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        (names[special["sep"]], special["sep"]),
        (names[special["cls"]], special["cls"]),
        trim_offsets=True,
        add_prefix_space=adds_space,
    )
    # lstrip: the mask includes the space before it, as in training, where it replaces a piece with its space.
    added = [
        AddedToken(names[number], special=True, normalized=False, lstrip=role == "mask")
        for role, number in special.items()
    ]
    tokenizer.add_special_tokens(added)
    return tokenizer

"""Stock transformers opens what bertd writes as the same tokenizer, and bertd reads a folder as it does."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import AutoTokenizer, BertTokenizer

from bertd.errors import VocabularyError
from bertd.tokenizer.cached_encoder import CachedEncoder
from bertd.tokenizer.save import ModelLimits, tokenizer_files
from bertd.tokenizer.stock import ODD_TEXTS, require_stock_ids
from bertd.tokenizer.tokenizer import open_tokenizer
from bertd.tokenizer.wordpiece import Casing, build_wordpiece_tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def entries() -> tuple[str, ...]:
    """Every character of the odd texts, as a word and as its continuation, and some pieces that only options make."""
    characters = sorted({character for text in ODD_TEXTS for character in text if not character.isspace()})
    characters += sorted({character.lower() for character in characters} - set(characters))
    characters = [character for character in characters if len(character) == 1]
    pieces = [f"##{character}" for character in characters]
    return (*SPECIAL, *characters, *pieces, "任务", "##任务", "这个任务很难", "café", "cafe", "caf", "quick", "QUICK")


def plain(casing: Casing | None = None) -> Tokenizer:
    casing = casing or Casing(lowercase=True, strip_accents=True)
    return build_wordpiece_tokenizer(entries(), casing=casing, place="test")


def write(tokenizer: Tokenizer, folder: Path, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in tokenizer_files(tokenizer, place="test", **options).items():
        (folder / name).write_bytes(content)
    return folder


def bert_normalizers() -> list[normalizers.Normalizer]:
    flags = itertools.product((False, True), (False, True), (None, False, True), (False, True))
    return [
        normalizers.BertNormalizer(clean_text=clean, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower)
        for clean, chinese, strip, lower in flags
    ]


def variants() -> list[tuple[str, Any]]:
    """A part of BERT's tokenizer, and another value of it."""
    ids = {entry: number for number, entry in enumerate(entries())}
    bert = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return [
        *(("normalizer", normalizer) for normalizer in bert_normalizers()),
        ("normalizer", normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer()])),
        ("normalizer", normalizers.NFC()),
        ("pre_tokenizer", pre_tokenizers.Whitespace()),
        ("pre_tokenizer", pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(True)])),
        ("model", WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=250)),
        ("model", WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=3)),
        ("model", WordPiece(ids, unk_token="[UNK]", continuing_subword_prefix="@@")),
        ("post_processor", bert),
        ("decoder", decoders.WordPiece(prefix="##", cleanup=False)),
    ]


@pytest.mark.parametrize(("part", "value"), variants(), ids=lambda value: str(value)[:60])
def test_stock_transformers_gives_the_ids_of_the_shards_for_every_option(part: str, value: Any, tmp_path: Path) -> None:
    tokenizer = plain()
    setattr(tokenizer, part, value)
    write(tokenizer, tmp_path)
    require_stock_ids(tmp_path)
    stock = AutoTokenizer.from_pretrained(tmp_path)
    shards = CachedEncoder(open_tokenizer(str(tmp_path)))
    for text in ODD_TEXTS:
        line = " ".join(text.split())
        assert shards.encode([line]).tokens.tolist() == stock(line, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("is_special", [False, True])
def test_added_tokens_are_those_of_the_shards(tmp_path: Path, is_special: bool) -> None:
    tokenizer = plain()
    tokenizer.add_tokens([AddedToken("<name>", special=is_special), AddedToken("two words", normalized=True)])
    write(tokenizer, tmp_path)
    require_stock_ids(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == open_tokenizer(str(tmp_path)).get_vocab_size() == len(entries()) + 2


def test_files_that_transformers_opens_otherwise_are_refused(tmp_path: Path) -> None:
    write(plain(Casing(lowercase=True, strip_accents=True, splits_chinese=False)), tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenize_chinese_chars"] is False
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"tokenize_chinese_chars": True}))
    with pytest.raises(VocabularyError, match="BertTokenizer that gives other ids .* for '这个任务很难。"):
        require_stock_ids(tmp_path)
    command = [sys.executable, "-m", "bertd.tokenizer.check_stock", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 65 and done.stderr.count("\n") == 1 and "gives other ids" in done.stderr


def test_an_export_says_what_its_model_takes_and_a_data_set_does_not(tmp_path: Path) -> None:
    write(plain(), tmp_path / "data")
    assert AutoTokenizer.from_pretrained(tmp_path / "data").model_max_length > 10**9
    write(plain(), tmp_path / "export", limits=ModelLimits(max_length=48, has_segments=False))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "export")
    assert loaded.model_max_length == 48
    cut = loaded("a " * 100, truncation=True)
    assert len(cut["input_ids"]) == 48 and "token_type_ids" not in cut


# ---- A folder with vocab.txt ------------------------------------------------------------------------


def write_folder(folder: Path, **files: Any) -> Path:
    (folder / "vocab.txt").write_text("".join(f"{entry}\n" for entry in entries()))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config": {"do_lower_case": False}},
        {"tokenizer_config": {"do_lower_case": True, "strip_accents": False}},
        {"tokenizer_config": {"do_lower_case": True, "tokenize_chinese_chars": False}},
        {"tokenizer_config": {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}},
        {"tokenizer_config": {"do_lower_case": True}, "added_tokens": {"<name>": len(entries())}},
        {
            "tokenizer_config": {"do_lower_case": True, "tokenizer_class": "BertTokenizerFast"},
            "special_tokens_map": {"additional_special_tokens": ["<user>", "<url>"], "cls_token": "[CLS]"},
            "added_tokens": {"<user>": len(entries()), "<url>": len(entries()) + 1},
        },
    ],
)
def test_every_setting_of_a_folder_is_honoured(tmp_path: Path, files: dict[str, Any]) -> None:
    ours = open_tokenizer(str(write_folder(tmp_path, **files)))
    stock = BertTokenizer.from_pretrained(tmp_path)
    assert ours.get_vocab() == stock.get_vocab()
    for text in (*ODD_TEXTS, "a <name> b <user>c <url>"):
        assert ours.encode(text).ids == stock(text)["input_ids"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("BertJapaneseTokenizer", "cannot open this tokenizer|does not read"),
        ("NoSuchTokenizer", "which transformers does not have"),
        (["BertTokenizer"], "which transformers does not have"),
    ],
)
def test_a_class_that_is_not_berts_is_not_read_as_berts(tmp_path: Path, name: Any, told: str) -> None:
    write_folder(tmp_path, tokenizer_config={"tokenizer_class": name})
    with pytest.raises(VocabularyError, match=told):
        open_tokenizer(str(tmp_path))


@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map", "added_tokens"])
@pytest.mark.parametrize("content", ["[", "[]", "null", "[" * 100_000])
def test_a_damaged_setting_is_one_line(tmp_path: Path, name: str, content: str) -> None:
    write_folder(tmp_path)
    (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(VocabularyError, match=rf"{name}.json: not .*; fix it or remove it"):
        open_tokenizer(str(tmp_path))

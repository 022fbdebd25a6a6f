"""Tokenizers small enough for tests, each with the traits of a published one; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram
from tokenizers.trainers import BpeTrainer, UnigramTrainer

_SIGNS = "Signs that it has not: < > | { } ` * # = + \\ ^ ~ @ $ % & _ ! ?"
_TEXT = [*(Path(__file__).parent.parent / "LICENSE").read_text(encoding="utf-8").splitlines(), _SIGNS]
"""A text that does not change, so that neither do the tokenizers."""

ODD_TEXTS = (
    "Hello  world, don't -- can't, they'll I'VE it's 's 't ''s ... ",
    "👍🏽 👨‍👩‍👧 e\u0301tat na\u00efve Ωσς \ufb01ne ＡＢ İ \u0308lead a \u0338b",
    "中文字。 日本語「はい」 한국어 \u0e20\u0e32\u0e29\u0e32",
    "12345 3.14 1e9 \u00bd \u0661\u0662",
    "a\u00a0b\u2003c\u3000d\u200be\u2028f\x85g\x1ch\x0bi\tj\r\nk \x00\x01\x7f\ufeff x",
    "<s> a</s><mask> b<mask>c [SEP] [MASK]x [PAD]  <|endoftext|><pad><unk> <|padding|>",
    "[unused1] x|||IP_ADDRESS|||y |||EMAIL_ADDRESS||| ||| [unused 1]",
)
"""Each with no sentence that ends within a run of punctuation marks."""


def roberta_like(*, entries: int = 600, adds_space: bool = False) -> Tokenizer:
    """RoBERTa's: special tokens first in the vocabulary, padding of id 1, entries that fill up, no normalizer."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = _trained(special, entries=entries - 3, normalizer=None, adds_space=adds_space)
    tree = json.loads(tokenizer.to_str())
    for entry in ("<|endoftext|>", "madeupword0000", "<mask>"):
        tree["model"]["vocab"][entry] = len(tree["model"]["vocab"])
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True, normalized=False)])
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=adds_space
    )
    return tokenizer


def modern_like(*, entries: int = 600) -> Tokenizer:
    """ModernBERT's: special tokens behind the vocabulary, added runs of spaces and placeholders, NFC."""
    tokenizer = _trained(["|||IP_ADDRESS|||", "<|padding|>"], entries=entries, normalizer="NFC", adds_space=False)
    tree = json.loads(tokenizer.to_str())
    tree["added_tokens"][0] |= {"special": False, "normalized": True}
    plain = [" " * length for length in (4, 3, 2)] + ["|||EMAIL_ADDRESS|||"]
    special = ["<|endoftext|>", "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    for content in (*plain, *special, *(f"[unused{number}]" for number in range(3))):
        is_special = content in special
        number = len(tree["model"]["vocab"]) + len(tree["added_tokens"]) - 2
        token = {"id": number, "content": content, "special": is_special, "normalized": not is_special}
        token |= {"lstrip": content == "[MASK]", "rstrip": False, "single_word": False}
        tree["added_tokens"].append(token)
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def euro_like() -> Tokenizer:
    """EuroBERT's, which is Llama 3's: bytes, cut by an expression of its own."""
    tokenizer = roberta_like()
    cut = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(cut), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def gemma_like(*, entries: int = 600) -> Tokenizer:
    """mmBERT's: SentencePiece's BPE across whole texts, spaces as entries of their own, bytes for what is unknown."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    in_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = BpeTrainer(vocab_size=entries, special_tokens=[*special, *in_bytes], show_progress=False)
    tokenizer.train_from_iterator(_TEXT, trainer=trainer)
    tree = json.loads(tokenizer.to_str())
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(tree))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", pair="<bos> $A <eos> $B <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    return tokenizer


def unigram_like(*, entries: int = 400) -> Tokenizer:
    """Japanese ModernBERTs': SentencePiece's Unigram, with <s> in the vocabulary and <cls> around a text."""
    special = ["<unk>", "<s>", "</s>", "<mask>", "<pad>", "<cls>", "<sep>"]
    tokenizer = Tokenizer(Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = UnigramTrainer(vocab_size=entries, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(_TEXT, trainer=trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<cls> $A <sep>", pair="<cls> $A <sep> $B <sep>", special_tokens=[("<cls>", 5), ("<sep>", 6)]
    )
    return tokenizer


def _trained(special: list[str], *, entries: int, normalizer: str | None, adds_space: bool) -> Tokenizer:
    tokenizer = Tokenizer(BPE())
    if normalizer is not None:
        tokenizer.normalizer = getattr(normalizers, normalizer)()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=entries,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer=trainer)
    return tokenizer

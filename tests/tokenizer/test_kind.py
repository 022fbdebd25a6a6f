"""Tokenizers of no known kind, which encode sentences whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel, WordPiece

from bertd.data.batches.masking import Masker
from bertd.data.dataset.shards import DataSet
from bertd.data.inspect.report import decode_sequences
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources.readers.document import clean
from bertd.data.sources.sentences import split_spaced_sentences
from bertd.errors import VocabularyError
from bertd.run.recipe.schema import MaskingSection
from bertd.tokenizer.cached_encoder import CachedEncoder
from bertd.tokenizer.kind import VocabularyKind
from bertd.tokenizer.tokenizer import open_tokenizer, vocabulary_from_tokenizer
from bertd.tokenizer.tokenizer_json import special_ids
from bertd.tokenizer.wordpiece import Casing, build_wordpiece_tokenizer
from tests.data.conftest import made_up_text
from tests.tokenizers_as_published import ODD_TEXTS, gemma_like, unigram_like

# Trained once: Unigram's training gives another vocabulary each time.
KINDS = {"gemma": gemma_like().to_str(), "unigram": unigram_like().to_str()}


def fresh(kind: str) -> Tokenizer:
    return Tokenizer.from_str(KINDS[kind])


def encoded_alone(tokenizer: Tokenizer, text: str) -> list[int]:
    """The library's ids of a text, sentence by sentence."""
    tokenizer.encode_special_tokens = True
    sentences = [one for one in split_spaced_sentences(text, language="en") if one.strip()]
    singles = [(" " if one[0].isspace() else "") + " ".join(one.split()) for one in sentences]
    return [number for one in singles for number in tokenizer.encode(one, add_special_tokens=False).ids]


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_has_the_ids_of_the_library_and_its_tokenizer(kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    # What spells special tokens the library may give their ids.
    odd = [text for text in ODD_TEXTS if "<mask>" not in text]
    texts = [made_up_text(number, sentences=6) for number in range(5)] + ["\n".join(odd)]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    fresh(kind).save(str(tmp_path / "tokenizer.json"))
    options = PrepareOptions(vocab=str(tmp_path), validation_share=0.0)
    for name, processes in (("set", 1), ("again", 2)):
        prepare([str(tmp_path / "lines.jsonl")], out=tmp_path / name, options=options, processes=processes)

    dataset = DataSet.open(tmp_path / "set", verify=True)

    assert dataset.fingerprint == DataSet.open(tmp_path / "again").fingerprint
    assert dataset.vocabulary.kind is VocabularyKind.OTHER
    expected = [
        number for text in texts for number in [*encoded_alone(fresh(kind), clean(text)), dataset.vocabulary.sep]
    ]
    tokens = dataset.split("train").tokens
    assert np.asarray(tokens[0 : len(tokens)]).tolist() == expected
    loaded = AutoTokenizer.from_pretrained(dataset.tokenizer_dir)
    for text in (*ODD_TEXTS, f"fill in {dataset.vocabulary.mask_token} here"):
        assert loaded(text)["input_ids"] == fresh(kind).encode(text).ids
    (shown,) = decode_sequences(dataset, sequence_length=64, packing="full", masking=MaskingSection(), count=1, seed=1)
    assert "\u2581" not in shown.text and len(shown.text.split()) > 4 and "[mask|" in shown.text


def on_spaces(model: WordLevel | WordPiece | BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<mask>", "[SEP]"])
    return tokenizer


@pytest.mark.parametrize("kind", [*KINDS, "words", "pieces", "merges"])
def test_text_that_spells_a_special_token_is_text(kind: str) -> None:
    """Models know special tokens as entries, and would find them in a text."""
    ids = {entry: number for number, entry in enumerate(["<pad>", "<s>", "[SEP]", "<unk>", "a", "##a", "<mask>"])}
    others = {
        "words": on_spaces(WordLevel(ids, unk_token="<unk>")),
        "pieces": on_spaces(WordPiece(ids, unk_token="<unk>")),
        "merges": on_spaces(BPE(ids, [], unk_token="<unk>")),
    }
    tree = json.loads(KINDS[kind] if kind in KINDS else others[kind].to_str())
    if kind == "merges":
        # Every entry is kept whole.
        tree["model"]["ignore_merges"] = True
    vocabulary = vocabulary_from_tokenizer(Tokenizer.from_str(json.dumps(tree)), place="test")
    encoder = CachedEncoder(Tokenizer.from_str(json.dumps(tree)))

    found = encoder.encode(["a <pad> a", "<s> <mask> a<mask> <unk> </s>", " [SEP] <cls>"]).tokens.tolist()

    special = {vocabulary.entries.index(token) for token in ("<s>", "</s>") if token in vocabulary.entries}
    assert not (special | vocabulary.special) - {vocabulary.unk} & set(found)
    assert vocabulary.kind is VocabularyKind.OTHER and len(found) >= 8
    if kind == "unigram":
        spelt = "".join(vocabulary.entries[number] for number in found).replace("\u2581", " ")
        assert " ".join(spelt.split()) == "a <pad> a <s> <mask> a<mask> <unk> </s> [SEP] <cls>"


def test_special_tokens_are_what_the_tokenizer_puts_around_a_text_whatever_their_names() -> None:
    gemma, unigram = (vocabulary_from_tokenizer(fresh(kind), place="test") for kind in KINDS)
    assert [gemma.entries[i] for i in gemma.special_by_role.values()] == ["<pad>", "<unk>", "<bos>", "<eos>", "<mask>"]
    named = [unigram.entries[i] for i in unigram.special_by_role.values()]
    assert named == ["<pad>", "<unk>", "<cls>", "<sep>", "<mask>"]


def test_what_stands_on_one_side_of_a_text_begins_and_ends_none() -> None:
    """XLNet puts both after a text, mBART the language after the separator."""
    tokenizer = fresh("unigram")
    for template in ("$A <sep> <cls>", "$A </s> <mask>", "<cls> $A"):
        special = [(token, tokenizer.token_to_id(token)) for token in re.findall("<[^>]*>", template)]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
        vocabulary = vocabulary_from_tokenizer(tokenizer, place="test")
        assert [vocabulary.entries[number] for number in (vocabulary.cls, vocabulary.sep)] == ["<s>", "</s>"]
    parts = [processors.ByteLevel(), processors.BertProcessing(("<sep>", 6), ("<cls>", 5))]
    tokenizer.post_processor = processors.Sequence(parts)
    vocabulary = vocabulary_from_tokenizer(tokenizer, place="test")
    assert [vocabulary.entries[number] for number in (vocabulary.cls, vocabulary.sep)] == ["<cls>", "<sep>"]


def test_a_role_is_found_by_its_name_where_no_naming_is_known_and_nothing_may_be_unknown() -> None:
    tree = json.loads(Tokenizer(BPE({"a": 0, "b": 1}, [])).to_str())
    special = ["<|begin|>", "<|end|>", "<|PAD|>", "<|mask|>"]
    tree["added_tokens"] = [{"id": i, "content": token, "special": True} for i, token in enumerate(special, start=2)]
    template = processors.BertProcessing(("<|end|>", 3), ("<|begin|>", 2))
    tree["post_processor"] = json.loads(template.__getstate__())

    assert special_ids(tree, place="test") == {"pad": 4, "unk": 4, "cls": 2, "sep": 3, "mask": 5}

    with pytest.raises(VocabularyError, match=r"test: lacks \[UNK\] or <unk>; use the vocabulary of a BERT-like"):
        special_ids(tree | {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}}}, place="test")
    tree["added_tokens"].append({"id": 6, "content": "<|mask_too|>", "special": True})
    with pytest.raises(VocabularyError, match=r"test: lacks \[MASK\] or <mask>; use the vocabulary of a BERT-like"):
        special_ids(tree, place="test")


_TABLE = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"normalizer": _TABLE}, "not a tokenizer that tokenizers can load: Precompiled"),
        ({"normalizer": _TABLE | {"precompiled_charsmap": "BAAAAAEAAAAAAAA="}}, "cannot encode every text: index out"),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "cannot encode every text: chunk size must be non-"),
        ({"unk_id": None}, "cannot encode every text: .* unknown .*; give its model an entry for what is unknown, or"),
    ],
)
def test_a_tokenizer_whose_library_would_give_up_is_refused(
    tmp_path: Path, parts: dict[str, Any], message: str
) -> None:
    tree = json.loads(KINDS["unigram"])
    (tree["model"] if "unk_id" in parts else tree).update(parts)
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree))
    with pytest.raises(VocabularyError, match=f"^{tmp_path}.*: {message}"):
        open_tokenizer(str(tmp_path))


def test_a_text_on_which_the_library_gives_up_is_an_error_that_can_be_sent_and_shown() -> None:
    tree = json.loads(KINDS["unigram"])
    tree["model"]["unk_id"] = None
    encoder = CachedEncoder(Tokenizer.from_str(json.dumps(tree)))
    assert len(encoder.encode(["The first"]).tokens)
    with pytest.raises(VocabularyError, match=r"the tokenizer fails on a text: .* unknown token .*; fix it, or use"):
        encoder.encode(["\u4e2d"])


def test_a_run_is_a_sentence_and_an_empty_one_none() -> None:
    encoder, tokenizer = CachedEncoder(fresh("gemma")), fresh("gemma")
    sentences = ["One  two", " One two", "", "  ", "\tthree "]
    encoded = encoder.encode(sentences)
    expected = [
        tokenizer.encode(text, add_special_tokens=False).ids for text in ("One two", " One two", "", "", " three")
    ]
    assert encoded.lengths.tolist() == [len(ids) for ids in expected]
    assert encoded.tokens.tolist() == [number for ids in expected for number in ids]


def test_a_sentence_has_one_space_before_its_first_word_whoever_adds_it() -> None:
    """Llama's normalizer prepends one to any text, even if there is one already."""
    tree = json.loads(KINDS["gemma"])
    replaces, has_prepend_normalizer = tree["normalizer"], {"type": "Prepend", "prepend": "\u2581"}
    for normalizer in (replaces, {"type": "Sequence", "normalizers": [has_prepend_normalizer, replaces]}):
        tokenizer = Tokenizer.from_str(json.dumps(tree | {"normalizer": normalizer}))
        encoded = CachedEncoder(tokenizer).encode([" The first", " The second"]).tokens.tolist()
        spelt = "".join(tokenizer.id_to_token(number) or "" for number in encoded)
        assert spelt == "\u2581The\u2581first\u2581The\u2581second"


def test_words_are_masked_whole_only_where_pieces_show_them() -> None:
    vocabulary = vocabulary_from_tokenizer(fresh("gemma"), place="test")
    goes_on = {vocabulary.entries[number] for number in np.flatnonzero(vocabulary.continuation_flags())}
    assert vocabulary.marks_word_starts and {"e", "s"} <= goes_on and "\u2581" not in goes_on
    tree = json.loads(KINDS["gemma"])
    tree["model"] |= {"merges": [], "vocab": {"<unk>": 3, "a": 5, "<pad>": 0, "<eos>": 1, "<bos>": 2, "<mask>": 4}}
    without = vocabulary_from_tokenizer(Tokenizer.from_str(json.dumps(tree)), place="test")
    assert not without.continuation_flags().any()
    # The character that spells a space in byte-level entries is a letter of Maltese.
    tree["model"]["vocab"] |= {"\u0120": 6, "\u4e2d": 7}
    maltese = vocabulary_from_tokenizer(Tokenizer.from_str(json.dumps(tree)), place="test")
    assert not maltese.marks_word_starts and not maltese.continuation_flags().any()

    with pytest.raises(
        VocabularyError, match='masking.unit = "word": this vocabulary does not mark where words begin; use'
    ):
        Masker(
            seed=1,
            rate=0.15,
            max_predictions=4,
            replace=(0.8, 0.1, 0.1),
            vocabulary=without,
            sequence_length=32,
            unit="word",
        )


def test_wordpiece_with_an_entry_of_ones_own_still_shows_its_words() -> None:
    entries = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "a")
    tokenizer = build_wordpiece_tokenizer(entries, casing=Casing(lowercase=True, strip_accents=True), place="test")
    tokenizer.add_tokens(["long covid"])
    vocabulary = vocabulary_from_tokenizer(tokenizer, place="test")

    encoded = CachedEncoder(tokenizer).encode(["Playing a", " long covid playing"])

    assert vocabulary.kind is VocabularyKind.OTHER and vocabulary.entries[8] == "long covid"
    assert encoded.tokens.tolist() == [5, 6, 7, 8, 5, 6] and encoded.lengths.tolist() == [3, 3]
    assert vocabulary.marks_word_starts and np.flatnonzero(vocabulary.continuation_flags()).tolist() == [6]

"""Each word's first piece is found in every kind of tokenizer, and long sentences lose no word."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from bertd.glue.model.classifier import Classifier, load_classifier
from bertd.glue.model.head import Head, HeadKind
from bertd.glue.training.batches import IGNORE_INDEX, pad
from bertd.glue.training.encode_words import encode_words
from tests.glue.tiny_export import save_byte_level_export, save_tiny_export

_HEAD = Head(HeadKind.TOKENS, ("O", "B-X"))


def _load(export: Path, *, max_length: int = 32) -> Classifier:
    return load_classifier(export, _HEAD, max_length=max_length)


def test_the_first_pieces_are_those_that_transformers_names(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path)
    words = ["a", "cat.", "sat..b", "unknown", "dog"]
    (encoded,) = encode_words([words], [[0, 1, 0, 1, 1]], _load(export))
    stock = AutoTokenizer.from_pretrained(export)(words, is_split_into_words=True)
    assert encoded.example.input_ids == stock["input_ids"]
    ids = stock.word_ids()
    assert encoded.places == [(word, ids.index(word)) for word in range(5)]
    assert [t for t in encoded.example.target if t != IGNORE_INDEX] == [0, 1, 0, 1, 1]  # type: ignore[union-attr]  # tokens


def test_bytes_of_a_word_belong_to_it_with_the_space_before(tmp_path: Path) -> None:
    classifier = _load(save_byte_level_export(tmp_path / "export"))
    words = ["naïve", "cat", "日本", "x"]
    (encoded,) = encode_words([words], None, classifier)
    assert encoded.example.input_ids == classifier.tokenizer(" ".join(words))["input_ids"]
    places = [place for _, place in encoded.places] + [len(encoded.example.input_ids) - 1]
    pieces = [encoded.example.input_ids[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert [classifier.tokenizer.decode(ids).strip() for ids in pieces] == words


@pytest.mark.parametrize("max_length", [3, 5, 32])
def test_a_long_sentence_is_split_between_words_and_loses_none(tmp_path: Path, max_length: int) -> None:
    classifier = _load(save_tiny_export(tmp_path), max_length=max_length)
    words = ["a", "b.", "c", "d..........", "e"] * 3
    encoded = encode_words([words, ["a"]], [[1] * 15, [0]], classifier)
    assert [word for part in encoded for word, _ in part.places if part.sentence == 0] == list(range(15))
    assert max(len(part.example.input_ids) for part in encoded) <= max_length
    # What a word's place holds is its beginning.
    tokens = classifier.tokenizer.convert_ids_to_tokens
    for part in encoded[:-1]:
        assert all(tokens(part.example.input_ids[place]) == words[word][0] for word, place in part.places)
    assert [place for part in encoded for place in part.places][-1] == (0, 1)


def test_a_word_of_which_nothing_is_left_has_no_place(tmp_path: Path) -> None:
    classifier = _load(save_tiny_export(tmp_path))
    (encoded,) = encode_words([["\u200b\x00", "cat", "\x01"], ["\x00"]], [[1, 0, 1], [1]], classifier)
    assert (encoded.sentence, encoded.places) == (0, [(1, 1)])


def test_targets_are_padded_with_what_the_loss_ignores(tmp_path: Path) -> None:
    encoded = encode_words([["a", "b"], ["c"]], [[0, 1], [1]], _load(save_tiny_export(tmp_path)))
    batch = pad([part.example for part in encoded], pad_id=0)
    ignored = IGNORE_INDEX
    assert batch.targets.tolist() == [[ignored, 0, 1, ignored], [ignored, 1, ignored, ignored]]

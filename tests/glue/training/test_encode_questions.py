"""Windows have every token of a context, and their targets are the answer's characters, in any kind of tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from bertd.errors import CheckpointError
from bertd.glue.data.squad import Question
from bertd.glue.kinds.spans import read_answers
from bertd.glue.model.classifier import Classifier, load_classifier
from bertd.glue.model.head import Head, HeadKind
from bertd.glue.training.encode_questions import MAX_QUESTION_TOKENS, STRIDE, EncodedWindow, encode_questions
from tests.glue.stock_encoders import save_stock_encoder
from tests.glue.tiny_export import save_byte_level_export, save_tiny_export

_HEAD = Head(HeadKind.SPANS, ("start", "end"))


def _load(export: Path, *, max_length: int = 32) -> Classifier:
    return load_classifier(export, _HEAD, max_length=max_length)


def _ask(context: str, *, question: str = "good?") -> Question:
    return Question(id="q", text=question, context=context, answers=(), is_impossible=False)


def _target_text(window: EncodedWindow, context: str) -> str | None:
    """The characters that a window's target names; None for the token of no answer."""
    assert isinstance(window.example.target, tuple)
    first, last = window.example.target
    if (first, last) == (0, 0):
        return None
    offsets = window.offsets_W2
    return context[offsets[first - window.first_place, 0] : offsets[last - window.first_place, 1]]


@pytest.mark.parametrize("kind", ["wordpiece", "byte-level"])
def test_one_window_is_what_transformers_makes_of_question_and_context(tmp_path: Path, kind: str) -> None:
    export = (save_tiny_export if kind == "wordpiece" else save_byte_level_export)(tmp_path / "export")
    classifier, context = _load(export), "The cat sat.\r\n日 ran, é"
    (window,) = encode_questions([_ask(context, question="good  dog?")], None, classifier)
    stock = AutoTokenizer.from_pretrained(export)("good  dog?", context, return_offsets_mapping=True)
    assert window.example.input_ids == stock["input_ids"]
    sides = stock.sequence_ids()
    assert window.first_place == sides.index(1)
    offsets = [offset for offset, side in zip(stock["offset_mapping"], sides, strict=True) if side == 1]
    found = [tuple(pair) for pair in window.offsets_W2.tolist()]
    assert [context[a:b] for a, b in found] == [context[a:b].strip() for a, b in offsets]


def test_windows_overlap_and_have_every_token_of_a_long_context(tmp_path: Path) -> None:
    classifier = _load(save_stock_encoder(tmp_path / "export", name="roberta"), max_length=20)
    context = " ".join(f"{'abcdefgh'[number % 8]}" for number in range(100))
    windows = encode_questions([_ask(context, question="good " * 90)], None, classifier)
    covered = [[int(offset) // 2 for offset in window.offsets_W2[:, 0]] for window in windows]
    room, step = len(covered[0]), covered[1][0]
    # Half of what special tokens leave is the context's; a window begins in the middle of the one before.
    assert (room, step) == (9, 4) and max(len(window.example.input_ids) for window in windows) == 20
    assert [part[0] for part in covered] == list(range(0, 4 * len(covered), 4))
    assert sorted({token for part in covered for token in part}) == list(range(100)) and covered[-1][-1] == 99
    assert all(len(part) == room for part in covered[:-1]) and covered[-2][-1] < 99
    assert (MAX_QUESTION_TOKENS, STRIDE) == (64, 128)


@pytest.mark.parametrize("length", [9, 10, 12, 13, 14, 17])
def test_a_context_has_as_many_windows_as_it_needs(tmp_path: Path, length: int) -> None:
    classifier = _load(save_tiny_export(tmp_path / "export"), max_length=14)
    windows = encode_questions([_ask("a " * length, question="good")], None, classifier)
    # Room for 10 tokens of the context, windows 5 apart.
    assert len(windows) == (1 if length <= 10 else 2 if length <= 15 else 3)


@pytest.mark.parametrize(("kind", "max_length"), [("wordpiece", 16), ("byte-level", 32)])
def test_a_target_is_the_answer_in_the_windows_that_have_all_of_it(tmp_path: Path, kind: str, max_length: int) -> None:
    save = save_tiny_export if kind == "wordpiece" else save_byte_level_export
    classifier = _load(save(tmp_path / "export"), max_length=max_length)
    words = ["a", "é", "日本", "cat", "🐈‍⬛", "b.", "İ", "ﬁ"] * 4
    context = "  \r\n".join(words)
    for number, word in enumerate(words):
        start = sum(len(each) + 4 for each in words[:number])
        windows = encode_questions([_ask(context, question="g")], [(start, start + len(word))], classifier)
        texts = [_target_text(window, context) for window in windows]
        assert set(texts) - {None} <= {word} and word in texts
        for window, text in zip(windows, texts, strict=True):
            offsets = window.offsets_W2[window.offsets_W2[:, 0] < window.offsets_W2[:, 1]]
            has_all = bool(len(offsets)) and offsets[0, 0] <= start and offsets[-1, 1] >= start + len(word)
            assert text is None or has_all
            # A word of several pieces may have only some of them in a window.
            if has_all and offsets[0, 0] < start and offsets[-1, 1] > start + len(word):
                assert text == word


def test_an_answer_within_a_word_takes_the_pieces_that_have_its_characters(tmp_path: Path) -> None:
    classifier = _load(save_tiny_export(tmp_path / "export"))
    context = "a (cat) cat."
    targets = [
        _target_text(window, context)
        for span in ((3, 6), (2, 7), (8, 11), (9, 10))
        for window in encode_questions([_ask(context)], [span], classifier)
    ]
    assert targets == ["cat", "(cat)", "cat", "cat"]


def test_nothing_to_tokenize_is_no_error(tmp_path: Path) -> None:
    classifier = _load(save_tiny_export(tmp_path / "export"))
    asked = [_ask(""), _ask(" \r\n\u200b"), _ask("cat", question=""), _ask("cat", question=" \x00")]
    windows = encode_questions(asked, None, classifier)
    assert [window.question for window in windows] == [0, 1, 2, 3]
    assert [len(window.offsets_W2) for window in windows] == [0, 0, 1, 1]
    # Nothing is left of these answers, so there is nothing to learn.
    assert not encode_questions([_ask("cat \x00 dog")], [(4, 5)], classifier)
    outputs_N2 = [[0.0, 0.0]] * sum(len(window.example.input_ids) for window in windows)
    assert [answer.text for answer in read_answers(np.array(outputs_N2), windows, asked)] == ["", "", "cat", "cat"]


def test_a_tokenizer_without_a_token_for_no_answer_is_refused(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    content = json.loads((export / "tokenizer.json").read_text())
    content["post_processor"] = None
    (export / "tokenizer.json").write_text(json.dumps(content))
    config = json.loads((export / "tokenizer_config.json").read_text())
    (export / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}))
    with pytest.raises(CheckpointError, match="no special token before a text, which stands for no answer"):
        encode_questions([_ask("cat")], None, _load(export))

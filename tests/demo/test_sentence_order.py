"""The demo's task is balanced and deterministic; only word order separates the labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.demo.sentence_order import make_task, swap_words, write_task
from bertd.errors import CorpusError

_NOUNS = ("dog", "cat", "cow", "pig", "hen", "ape")
_VERBS = ("seen", "heard", "fed", "led", "met", "lost")
_OTHERS = ("man", "boy", "fox", "owl")
SENTENCES = [f"The {a} is {b} by the {c} again." for a in _NOUNS for b in _VERBS for c in _OTHERS]

WORD = st.sampled_from(["the", "List", "of", "a", "value", "API", "is"])


@given(st.lists(WORD, min_size=7, max_size=12).filter(lambda words: len({word.lower() for word in words}) > 1))
def test_a_swap_keeps_the_words_the_commas_and_the_full_stop(words: list[str]) -> None:
    sentence = " ".join(words[:3]) + ", " + " ".join(words[3:]) + "."
    sentence = sentence[0].upper() + sentence[1:]
    swapped = swap_words(sentence)
    old, new = (text.lower().replace(",", "").rstrip(".").split() for text in (sentence, swapped))
    assert sorted(old) == sorted(new)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 2
    assert [word[-1] in ",." for word in swapped.split()] == [word[-1] in ",." for word in sentence.split()]
    assert swapped[0].isupper()
    assert swap_words(sentence) == swapped


def test_the_task_is_balanced_and_uses_each_sentence_once() -> None:
    task = make_task(SENTENCES, seen=set())
    everything = task.train + task.dev
    assert len(everything) == len(SENTENCES) == 144
    assert len(task.dev) == 56
    for part in (task.train, task.dev):
        assert sum(one.is_as_written for one in part) == pytest.approx(len(part) / 2, abs=1)
    written = {one.sentence for one in everything if one.is_as_written}
    assert written < set(SENTENCES)
    swapped = {one.sentence for one in everything if not one.is_as_written}
    assert len(swapped) == 72


def test_the_same_sentences_in_any_order_give_the_same_task() -> None:
    assert make_task(SENTENCES, seen=set()) == make_task(reversed(SENTENCES + SENTENCES[:5]), seen=set())


def test_sentences_that_the_pretraining_read_are_left_out() -> None:
    task = make_task(SENTENCES, seen=set(SENTENCES[:40]))
    assert len(task.train + task.dev) == 104
    assert not {one.sentence for one in task.train + task.dev} & set(SENTENCES[:40])


def test_too_few_sentences_are_a_clear_error() -> None:
    with pytest.raises(CorpusError, match="10 sentences, 60 are needed"):
        make_task(SENTENCES[:10], seen=set())


def test_the_files_are_in_colas_form(tmp_path: Path) -> None:
    task = make_task(SENTENCES, seen=set())
    write_task(task, tmp_path / "CoLA")
    rows = [line.split("\t") for line in (tmp_path / "CoLA" / "train.tsv").read_text().splitlines()]
    assert [len(row) for row in rows] == [4] * len(task.train)
    assert [(row[1], row[2], row[3]) for row in rows[:2]] == [
        (str(int(one.is_as_written)), "" if one.is_as_written else "*", one.sentence) for one in task.train[:2]
    ]

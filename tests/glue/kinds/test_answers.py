"""Exact match and F1 of answers are those of SQuAD's two official scripts, and the threshold is the best there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.glue.kinds.answers import GoldAnswers, choose_null_threshold, mean_score
from tests.glue.kinds import official_squad

_PIECES = [
    "cat",
    "Cat",
    "dog",
    "a",
    "an",
    "The",
    "İ",
    "ß",
    "é",
    "1,000",
    "-",
    ".",
    "'s",
    " ",
    "\u00a0",
    "\t",
    "\r\n",
    "_",
]
_TEXTS = st.one_of(st.lists(st.sampled_from(_PIECES), max_size=6).map("".join), st.text(max_size=8))
_QUESTIONS = st.lists(st.tuples(st.lists(_TEXTS, max_size=3), _TEXTS), min_size=1, max_size=6)


def _golds(answers: dict[str, list[str]], *, has_unanswerable: bool) -> list[GoldAnswers]:
    return [GoldAnswers(texts, has_unanswerable=has_unanswerable) for texts in answers.values()]


@pytest.mark.parametrize(
    ("golds", "predicted", "exact_match", "f1"),
    [
        (["the cat"], "Cat.", 1, 1),
        (["cat sat"], "cat ran", 0, 0.5),
        (["cat", "cat sat there"], "cat sat", 0, 0.8),
        (["cat cat dog"], "cat cat", 0, 0.8),
        (["1,000"], "1000", 1, 1),
        (["an 'A' team"], "team", 1, 1),
        # A word is only cut off where it stands alone: punctuation goes first, and joins.
        (["a-team"], "team", 0, 0),
        (["cat"], "", 0, 0),
    ],
)
@pytest.mark.parametrize("has_unanswerable", [False, True])
def test_hand_computed_values(
    golds: list[str], predicted: str, exact_match: float, f1: float, has_unanswerable: bool
) -> None:
    score = GoldAnswers(golds, has_unanswerable=has_unanswerable).score(predicted)
    assert score.exact_match == exact_match and score.f1 == pytest.approx(f1)


def test_what_normalizes_to_nothing_is_where_the_two_scripts_differ() -> None:
    for golds, predicted, first, second in [
        (["The"], "a", (1, 0), (1, 1)),
        (["the", "cat"], "", (1, 0), (0, 0)),
        (["the", "cat"], "cat", (1, 1), (1, 1)),
    ]:
        for has_unanswerable, wanted in ((False, first), (True, second)):
            score = GoldAnswers(golds, has_unanswerable=has_unanswerable).score(predicted)
            assert (score.exact_match, score.f1) == wanted
    # Only 2.0 has questions without an answer: nothing is right, and anything else is wrong.
    none = GoldAnswers([], has_unanswerable=True)
    assert (none.score("").f1, none.score("the").exact_match, none.score("cat").f1) == (1, 1, 0)


@given(_QUESTIONS)
def test_scores_are_those_of_the_official_script_of_1_1(questions: list[tuple[list[str], str]]) -> None:
    answers = {str(number): golds or ["cat"] for number, (golds, _) in enumerate(questions)}
    predicted = {str(number): text for number, (_, text) in enumerate(questions)}
    golds = _golds(answers, has_unanswerable=False)
    ours = mean_score([gold.score(text) for gold, text in zip(golds, predicted.values(), strict=True)])
    official = official_squad.evaluate_first(answers, predicted)
    assert (100 * ours.exact_match, 100 * ours.f1) == pytest.approx((official["exact_match"], official["f1"]))


@given(_QUESTIONS)
def test_scores_are_those_of_the_official_script_of_2_0(questions: list[tuple[list[str], str]]) -> None:
    answers = {str(number): golds for number, (golds, _) in enumerate(questions)}
    predicted = {str(number): text for number, (_, text) in enumerate(questions)}
    golds = _golds(answers, has_unanswerable=True)
    scores = [gold.score(text) for gold, text in zip(golds, predicted.values(), strict=True)]
    official = official_squad.evaluate_second(answers, predicted)
    for prefix, chosen in (("", [True, False]), ("HasAns_", [True]), ("NoAns_", [False])):
        part = [score for gold, score in zip(golds, scores, strict=True) if gold.has_answer in chosen]
        assert bool(part) == (f"{prefix}f1" in official)
        if part:
            ours = mean_score(part)
            wanted = official[f"{prefix}exact"], official[f"{prefix}f1"]
            assert (100 * ours.exact_match, 100 * ours.f1) == pytest.approx(wanted)


@given(
    st.lists(
        st.tuples(st.lists(_TEXTS, max_size=2), _TEXTS.filter(bool), st.sampled_from([-2.5, -1.0, 0.0, 0.5, 1.0, 7.0])),
        min_size=1,
        max_size=7,
    ),
    st.booleans(),
)
def test_no_threshold_has_a_better_official_f1_than_the_chosen(
    questions: list[tuple[list[str], str, float]], are_distinct: bool
) -> None:
    answers = {str(number): golds for number, (golds, _, _) in enumerate(questions)}
    texts = {str(number): text for number, (_, text, _) in enumerate(questions)}
    odds = {str(number): value + are_distinct * number / 100 for number, (_, _, value) in enumerate(questions)}

    def f1_at(threshold: float) -> float:
        decided = {id: "" if odds[id] > threshold else texts[id] for id in texts}
        return official_squad.evaluate_second(answers, decided)["f1"]

    golds = _golds(answers, has_unanswerable=True)
    gains = [gold.score(text).f1 - gold.score("").f1 for gold, text in zip(golds, texts.values(), strict=True)]
    chosen = choose_null_threshold(np.array(list(odds.values())), np.array(gains))
    best = max(f1_at(threshold) for threshold in [-1e3, *odds.values()])
    assert f1_at(chosen) == pytest.approx(best)
    # Where no answer is "" in disguise and no odds are equal, it is the best_f1 that the official script prints.
    if all(official_squad.normalize(text) for golds in [*answers.values(), list(texts.values())] for text in golds):
        official = official_squad.best_f1_of_second(answers, texts, odds)
        assert official == pytest.approx(best) or (official > best and len(set(odds.values())) < len(odds))

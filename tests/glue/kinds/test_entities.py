"""Entities and their scores against values computed by hand, and what seqeval 1.2.2 gives."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.glue.kinds.entities import find_entities, is_entity_tag, score_entities


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("", []),
        ("O O", []),
        ("B-A I-A O B-B", [("A", 0, 1), ("B", 3, 3)]),
        # IOB1: B only where an entity follows one of its type.
        ("I-A I-A B-A O I-B", [("A", 0, 1), ("A", 2, 2), ("B", 4, 4)]),
        ("B-A I-A E-A S-A S-B", [("A", 0, 2), ("A", 3, 3), ("B", 4, 4)]),
        # BILOU and BMES.
        ("B-A I-A L-A U-A U-B L-B", [("A", 0, 2), ("A", 3, 3), ("B", 4, 4), ("B", 5, 5)]),
        ("B-A M-A E-A S-A S-B", [("A", 0, 2), ("A", 3, 3), ("B", 4, 4)]),
        # No scheme allows these.
        ("B-A I-B I-B", [("A", 0, 0), ("B", 1, 2)]),
        ("O E-A I-A", [("A", 1, 1), ("A", 2, 2)]),
        ("B-X-Y I-X-Y", [("X-Y", 0, 1)]),
    ],
)
def test_entities_are_those_of_each_scheme(tags: str, entities: list[tuple[str, int, int]]) -> None:
    assert find_entities(tags.split()) == entities


def test_an_entity_counts_only_if_type_and_both_ends_are_right() -> None:
    true = [["B-A", "I-A", "O"], ["B-B", "O", "B-A"]]
    predicted = [["B-A", "O", "O"], ["B-B", "O", "B-B"]]
    # One of three found, one of three wanted.
    assert score_entities(predicted, true) == pytest.approx({"f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3})


def test_equal_places_of_different_sentences_are_different_entities() -> None:
    assert score_entities([["B-A"], ["O"]], [["O"], ["B-A"]])["f1"] == 0.0


def test_nothing_found_or_nothing_wanted_scores_zero() -> None:
    nothing = {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    assert score_entities([["O"]], [["B-A"]]) == nothing
    assert score_entities([["B-A"]], [["O"]]) == nothing
    assert score_entities([], []) == nothing


@pytest.mark.parametrize("tag", ["", "B", "B-", "-A", "b-A", "X-A", "BI-A", "NN"])
def test_what_is_of_no_scheme_is_no_tag_of_an_entity(tag: str) -> None:
    assert not is_entity_tag(tag)


_TAGS = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("A", "B", "A-B"))])
_SENTENCES = st.lists(st.lists(st.tuples(_TAGS, _TAGS), min_size=1, max_size=8), min_size=1, max_size=4)


@pytest.mark.skipif(importlib.util.find_spec("seqeval") is None, reason="seqeval is not installed")
@pytest.mark.filterwarnings("ignore")
@given(_SENTENCES)
def test_entities_and_scores_are_those_of_seqeval(sentences: list[list[tuple[str, str]]]) -> None:
    from seqeval.metrics import f1_score, precision_score, recall_score  # type: ignore[import-not-found]  # not depended on
    from seqeval.metrics.sequence_labeling import get_entities  # type: ignore[import-not-found]  # not depended on

    true, predicted = ([[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1))
    for tags in true:
        assert find_entities(tags) == get_entities(tags)
    ours = score_entities(predicted, true)
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert ours[name] == pytest.approx(score(true, predicted, zero_division=0))

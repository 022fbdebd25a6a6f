"""Entities and their scores against values computed by hand, and what seqeval 1.2.2 gives."""

from __future__ import annotations

import pytest

from bertd.glue.kinds.entities import find_entities, score_entities


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("", []),
        ("O O", []),
        ("B-A I-A O B-B", [("A", 0, 1), ("B", 3, 3)]),
        # IOB1: B only where an entity follows one of its type.
        ("I-A I-A B-A O I-B", [("A", 0, 1), ("A", 2, 2), ("B", 4, 4)]),
        ("B-A I-A E-A S-A S-B", [("A", 0, 2), ("A", 3, 3), ("B", 4, 4)]),
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

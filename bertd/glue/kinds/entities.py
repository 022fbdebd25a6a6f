"""Entity-level precision, recall and F1 of tag sequences, as conlleval and seqeval's default mode count them.

An entity is a type with its first and last word; it is right if all three are. A tag is a prefix, a hyphen and a type;
the prefixes are those of IOB1, IOB2 and BIOES, and of BILOU and BMES, which only name them differently. What no scheme
allows, such as an I after an O, begins an entity.
Source: conlleval of CoNLL-2000; seqeval 1.2.2, whose last release is of 2020 and is not depended on.
"""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"
_PREFIXES = {prefix: prefix for prefix in "BIES"} | {"M": "I", "L": "E", "U": "S"}
"""As BIOES names them; seqeval's default mode knows those of BIOES alone."""

Entity = tuple[str, int, int]
"""Type, first word, last word."""


def is_entity_tag(tag: str) -> bool:
    """Whether a tag is one of the schemes: O, or a prefix, a hyphen and a type."""
    prefix, hyphen, kind = tag.partition("-")
    return tag == OUTSIDE or (prefix in _PREFIXES and bool(hyphen) and bool(kind))


def looks_like_entity_tag(tag: str) -> bool:
    """Whether a tag is written as those of the schemes, if with a prefix that none of them has."""
    prefix, hyphen, kind = tag.partition("-")
    return tag == OUTSIDE or (len(prefix) == 1 and prefix.isupper() and bool(hyphen) and bool(kind))


def find_entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence, in their order."""
    entities: list[Entity] = []
    first: int | None = None
    previous, previous_type = OUTSIDE, ""
    for index, tag in enumerate([*tags, OUTSIDE]):
        written, _, kind = tag.partition("-")
        prefix = _PREFIXES.get(written, OUTSIDE)
        is_other = kind != previous_type
        if first is not None and (prefix in ("O", "B", "S") or previous in ("E", "S") or is_other):
            entities.append((previous_type, first, index - 1))
            first = None
        if prefix != OUTSIDE and first is None:
            first = index
        previous, previous_type = prefix, kind
    return entities


def score_entities(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> dict[str, float]:
    """Micro-averaged precision, recall and F1 over all sentences; each is 0 where nothing is there to divide by."""
    found = {(number, *entity) for number, tags in enumerate(predicted) for entity in find_entities(tags)}
    wanted = {(number, *entity) for number, tags in enumerate(true) for entity in find_entities(tags)}
    num_right = len(found & wanted)
    return {
        "f1": 2 * num_right / (len(found) + len(wanted)) if num_right else 0.0,
        "precision": num_right / len(found) if found else 0.0,
        "recall": num_right / len(wanted) if wanted else 0.0,
    }

"""What evaluate-v1.1.py and evaluate-v2.0.py print, stated again from their definitions, in percent.

Answers are normalized in their order: lower case, no ASCII punctuation, a space for each of the words a, an and the,
white space as single spaces. Everything else is written as the definitions read, not as bertd computes it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence


def normalize(text: str) -> str:
    text = text.lower()
    text = "".join(character for character in text if character not in string.punctuation)
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(text.split())


def _overlap(first: list[str], second: list[str]) -> int:
    rest = list(second)
    count = 0
    for word in first:
        if word in rest:
            rest.remove(word)
            count += 1
    return count


def _f1(gold: str, predicted: str, *, is_second: bool) -> float:
    gold_words, predicted_words = normalize(gold).split(), normalize(predicted).split()
    if is_second and (gold_words == [] or predicted_words == []):
        return float(gold_words == predicted_words)
    same = _overlap(predicted_words, gold_words)
    if same == 0:
        return 0.0
    precision = same / len(predicted_words)
    recall = same / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def evaluate_first(golds: Mapping[str, Sequence[str]], predicted: Mapping[str, str]) -> dict[str, float]:
    """Of 1.1: for each question the best over all its gold answers, means over all questions."""
    exact = f1 = 0.0
    for id, answers in golds.items():
        exact += max(normalize(answer) == normalize(predicted[id]) for answer in answers)
        f1 += max(_f1(answer, predicted[id], is_second=False) for answer in answers)
    return {"exact_match": 100 * exact / len(golds), "f1": 100 * f1 / len(golds)}


def raw_scores_of_second(
    golds: Mapping[str, Sequence[str]], predicted: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Of 2.0, exact match and F1 of each question: gold answers that normalize to nothing do not count, and where
    none is left the gold answer is ""."""
    exact: dict[str, float] = {}
    f1: dict[str, float] = {}
    for id, answers in golds.items():
        counted = [answer for answer in answers if normalize(answer)] or [""]
        exact[id] = max(float(normalize(answer) == normalize(predicted[id])) for answer in counted)
        f1[id] = max(_f1(answer, predicted[id], is_second=True) for answer in counted)
    return {"exact": exact, "f1": f1}


def evaluate_second(golds: Mapping[str, Sequence[str]], predicted: Mapping[str, str]) -> dict[str, float]:
    """Of 2.0, without probabilities of no answer: means over all questions, over those that have answers in the file,
    and over the others."""
    raw = raw_scores_of_second(golds, predicted)
    parts = {
        "": list(golds),
        "HasAns_": [id for id in golds if golds[id]],
        "NoAns_": [id for id in golds if not golds[id]],
    }
    return {
        f"{prefix}{name}": 100 * sum(scores[id] for id in ids) / len(ids)
        for prefix, ids in parts.items()
        for name, scores in raw.items()
        if ids
    }


def best_f1_of_second(
    golds: Mapping[str, Sequence[str]], predicted: Mapping[str, str], odds: Mapping[str, float]
) -> float:
    """Of 2.0, best_f1: all questions without an answer are right at first; in rising order of their odds of none, one
    after the other gets its answer, which adds its F1, or takes 1 if it has none."""
    f1 = raw_scores_of_second(golds, predicted)["f1"]
    current = best = float(sum(not answers for answers in golds.values()))
    for id in sorted(odds, key=lambda each: odds[each]):
        current += f1[id] if golds[id] else -float(bool(predicted[id]))
        best = max(best, current)
    return 100 * best / len(golds)

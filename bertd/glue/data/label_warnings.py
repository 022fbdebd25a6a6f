"""What a person should know of the labels, or tags, of a task of one's own: each as a code and a message."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

Warning = tuple[str, str]
"""Code and message."""
_MOST_NAMED = 5
_MAX_NAME = 40


def warn_of_alike(place: str, labels: Iterable[str]) -> list[Warning]:
    """Labels that a reader would take for one: they differ by case, white space, or the form of their characters."""
    by_form: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        form = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        by_form.setdefault(form, []).append(label)
    alike = [names for names in by_form.values() if len(names) > 1]
    if not alike:
        return []
    listed = " and ".join(repr(name[:_MAX_NAME]) for name in alike[0][:_MOST_NAMED])
    return [("labels_alike", f"{place}: the labels {listed} are taken as different; write them alike if they are one")]


def warn_of_unseen(place: str, train: Iterable[str], dev: Iterable[str], *, what: str = "labels") -> list[Warning]:
    """Labels of the development set that are not in the training set."""
    unseen = sorted(set(dev) - set(train))
    if not unseen:
        return []
    listed = ", ".join(repr(label[:_MAX_NAME]) for label in unseen[:_MOST_NAMED])
    message = f"{place}: {len(unseen)} {what} are not in the training set, and are never predicted: {listed}"
    return [("label_unseen", message)]


def warn_of_constant(place: str, dev: Sequence[str]) -> list[Warning]:
    """A development set with one label, on which no model is better than the best constant guess."""
    if len(set(dev)) > 1:
        return []
    message = f"{place}: all {len(dev)} labels are {dev[0][:_MAX_NAME]!r}, so the score shows nothing"
    return [("dev_constant", f"{message}; give a --dev with others, too")]

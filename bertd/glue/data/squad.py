"""Questions with answers that are parts of a context, in SQuAD's JSON, version 1.1 or 2.0.

    {"version": "v2.0", "data": [{"paragraphs": [{"context": "...", "qas": [
        {"id": "...", "question": "...", "is_impossible": false, "answers": [{"text": "...", "answer_start": 515}]}
    ]}]}]}

2.0 has questions without an answer. Their `plausible_answers` are wrong ones, and not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import CorpusError
from bertd.glue.data.tables import read_text

_WHERE = "; SQuAD's JSON has data[].paragraphs[].context and .qas[] with id, question and answers"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Answer:
    """An answer as the file has it."""

    text: str
    start: int | None
    """Character of the context at which it begins; None where the file has no `answer_start`."""


@dataclass(frozen=True)
class Question:
    """A question about a context."""

    id: str
    text: str
    context: str
    answers: tuple[Answer, ...]
    is_impossible: bool
    """Whether the file says that the context has no answer."""

    @property
    def has_answer(self) -> bool:
        """Whether there is something to learn but that there is no answer."""
        return bool(self.answers) and not self.is_impossible


@dataclass(frozen=True)
class SquadFile:
    """The questions of a file, in its order."""

    path: Path
    questions: list[Question]
    has_unanswerable: bool
    """Whether it is of version 2.0, by its `version`, or by a question that has no answer or says whether it has."""


def read_squad(path: Path, *, needs_answers: bool) -> SquadFile:
    """Read the questions of a file.

    Args:
        needs_answers: whether a question without the key `answers` is an error.

    Raises:
        CorpusError: the file cannot be read, is not SQuAD's JSON, has no question, or has an id twice.
    """
    try:
        content = read_text(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot read: {error.strerror or error}; check the path") from error
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: not JSON: {error}; fix it") from error
    reader = _Reader(path, needs_answers=needs_answers)
    questions = list(reader.questions(tree))
    if not questions:
        raise CorpusError(f"{path}: no question in it{_WHERE}")
    _require_unique(path, questions)
    is_second = str(tree.get("version", "")).lower().removeprefix("v").startswith("2")
    has_none = reader.says_impossible or (needs_answers and any(not question.answers for question in questions))
    return SquadFile(path, questions, has_unanswerable=is_second or has_none)


def locate_answer(context: str, answer: Answer) -> tuple[int, int] | None:
    """The characters of an answer in its context: its first, and the one after its last.

    An `answer_start` that is wrong by less than a word is corrected, as the BERT repository's SQuAD code does: the
    answer must be in the whole words at the characters that the file names, any white space between its own. None: it
    is not there.
    """
    text = answer.text.strip()
    if answer.start is None or not text:
        return None
    start = answer.start + answer.text.index(text)
    if start >= 0 and context.startswith(text, start):
        return start, start + len(text)
    if not 0 <= start < len(context):
        return None
    first, last = start, min(start + len(text), len(context)) - 1
    # White space belongs to the word before it.
    while first and (context[first].isspace() or not context[first - 1].isspace()):
        first -= 1
    while last + 1 < len(context) and not context[last].isspace() and not context[last + 1].isspace():
        last += 1
    pattern = re.compile(r"\s+".join(map(re.escape, text.split())))
    matches = [match.span() for match in pattern.finditer(context, first, last + 1)]
    return min(matches, key=lambda span: abs(span[0] - start), default=None)


def _require_unique(path: Path, questions: list[Question]) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise CorpusError(
                f"{path}: the id {question.id[:80]!r} occurs twice, and predictions are by id; make it unique"
            )
        seen.add(question.id)


class _Reader:
    """Walks the tree; an error names the place of what is missing or wrong."""

    def __init__(self, path: Path, *, needs_answers: bool) -> None:
        self._path = path
        self._needs_answers = needs_answers
        self.says_impossible = False
        """Whether a question has the key `is_impossible`."""

    def questions(self, tree: object) -> Iterator[Question]:
        for number, article in enumerate(self._list(tree, "data", place="")):
            place = f"data[{number}]"
            for index, paragraph in enumerate(self._list(article, "paragraphs", place=place)):
                inner = f"{place}.paragraphs[{index}]"
                context = self._string(paragraph, "context", place=inner)
                for count, qa in enumerate(self._list(paragraph, "qas", place=inner)):
                    yield self._question(qa, context, place=f"{inner}.qas[{count}]")

    def _question(self, qa: object, context: str, *, place: str) -> Question:
        id = self._get(qa, "id", place=place)
        if not isinstance(id, str | int) or isinstance(id, bool):
            raise self._error(place, "its 'id' is not a string")
        text = self._string(qa, "question", place=place)
        assert isinstance(qa, dict)
        is_impossible = qa.get("is_impossible", False)
        if not isinstance(is_impossible, bool):
            raise self._error(place, "its 'is_impossible' is neither true nor false")
        self.says_impossible |= "is_impossible" in qa
        answers: list[object] = []
        if self._needs_answers or "answers" in qa:
            answers = self._list(qa, "answers", place=place)
        return Question(
            id=str(id),
            text=text,
            context=context,
            answers=tuple(self._answer(a, place=f"{place}.answers[{number}]") for number, a in enumerate(answers)),
            is_impossible=is_impossible,
        )

    def _answer(self, answer: object, *, place: str) -> Answer:
        text = self._string(answer, "text", place=place)
        assert isinstance(answer, dict)
        start = answer.get("answer_start")
        if start is not None and (not isinstance(start, int) or isinstance(start, bool)):
            raise self._error(place, "its 'answer_start' is not a whole number")
        return Answer(text, start)

    def _get(self, value: object, key: str, *, place: str) -> object:
        if not isinstance(value, dict):
            raise self._error(place, "not a JSON object")
        if key not in value:
            raise self._error(place, f"no {key!r}")
        found: object = value[key]
        return found

    def _list(self, value: object, key: str, *, place: str) -> list[object]:
        found = self._get(value, key, place=place)
        if not isinstance(found, list):
            raise self._error(place, f"its {key!r} is not an array")
        return found

    def _string(self, value: object, key: str, *, place: str) -> str:
        found = self._get(value, key, place=place)
        if not isinstance(found, str):
            raise self._error(place, f"its {key!r} is not a string")
        if _SURROGATE.search(found):
            raise CorpusError(f"{self._path}: {place}: its {key!r} has half a surrogate pair; fix it")
        return found

    def _error(self, place: str, what: str) -> CorpusError:
        return CorpusError(f"{self._path}: {place + ': ' if place else ''}{what}{_WHERE}")

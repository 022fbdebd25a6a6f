"""SQuAD's JSON is read as its official code reads it; what is missing is named, and wrong offsets are not believed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bertd.errors import CorpusError
from bertd.glue.data.squad import Answer, locate_answer, read_squad
from tests.glue.squad_files import ask, write_paragraphs


def _write(path: Path, tree: object, *, encoding: str = "utf-8") -> Path:
    path.write_bytes(json.dumps(tree, ensure_ascii=False).encode(encoding))
    return path


def test_questions_of_2_0_are_read_and_plausible_answers_are_not(tmp_path: Path) -> None:
    asked = ask("A cat sat.", ("cat", 2))
    none = {"id": 7, "question": "dog?", "answers": [], "is_impossible": True}
    asked["qas"] += [{**none, "plausible_answers": [{"text": "cat", "answer_start": 2}]}]  # type: ignore[operator]  # a list
    file = read_squad(write_paragraphs(tmp_path / "a.json", [asked], version="v2.0"), needs_answers=True)
    first, second = file.questions
    assert (first.text, first.answers, first.has_answer) == ("good?", (Answer("cat", 2),), True)
    assert (second.id, second.answers, second.has_answer) == ("7", (), False)
    assert first.context is second.context and file.has_unanswerable


@pytest.mark.parametrize(
    ("version", "qa", "is_second"),
    [
        ("1.1", {}, False),
        ("v2.0", {}, True),
        ("2", {}, True),
        (1.1, {}, False),
        ("1.1", {"is_impossible": False}, True),
        ("1.1", {"answers": []}, True),
    ],
)
def test_the_version_is_what_the_file_says_or_has(
    tmp_path: Path, version: object, qa: dict[str, object], is_second: bool
) -> None:
    asked = {"id": "q", "question": "?", "answers": [{"text": "a", "answer_start": 0}], **qa}
    tree = {"version": version, "data": [{"paragraphs": [{"context": "a", "qas": [asked]}]}]}
    assert read_squad(_write(tmp_path / "a.json", tree), needs_answers=True).has_unanswerable is is_second


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_marks_and_line_ends_do_not_move_answers(tmp_path: Path, encoding: str) -> None:
    context = "One.\r\n\r\nThe 🐈‍⬛ naïve 日本 sat.\r\n"
    path = tmp_path / "a.json"
    content = json.dumps({"data": [{"paragraphs": [ask(context, ("日本", 22))]}]}, ensure_ascii=False, indent=1)
    path.write_bytes(content.replace("\n", "\r\n").encode(encoding))
    (question,) = read_squad(path, needs_answers=True).questions
    assert question.context == context
    assert locate_answer(context, question.answers[0]) == (context.index("日本"), context.index("日本") + 2)


_QA = {"id": "q", "question": "?", "answers": []}


def _tree(**qa: object) -> object:
    return {"data": [{"paragraphs": [{"context": "a", "qas": [{**_QA, **qa}]}]}]}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([{"text": "a"}], "a.json: not a JSON object; SQuAD's JSON has data[].paragraphs[].context"),
        ({"rows": []}, "a.json: no 'data'; SQuAD's"),
        ({"data": {}}, "its 'data' is not an array"),
        ({"data": []}, "no question in it"),
        ({"data": [{"paragraphs": []}]}, "no question in it"),
        ({"data": [{"title": "x"}]}, "data[0]: no 'paragraphs'"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "data[0].paragraphs[0]: no 'context'"),
        ({"data": [{"paragraphs": [{"context": "a"}]}]}, "data[0].paragraphs[0]: no 'qas'"),
        ({"data": [{"paragraphs": [{"context": 3, "qas": []}]}]}, "its 'context' is not a string"),
        ({"data": [{"paragraphs": [{"context": "a", "qas": [{}]}]}]}, "data[0].paragraphs[0].qas[0]: no 'id'"),
        (_tree(id=None), "its 'id' is not a string"),
        (_tree(question=None), "qas[0]: its 'question' is not a string"),
        (_tree(question="\ud800"), "qas[0]: its 'question' has half a surrogate pair; fix it"),
        (_tree(is_impossible="yes"), "its 'is_impossible' is neither true nor false"),
        (_tree(answers=["a"]), "qas[0].answers[0]: not a JSON object"),
        (_tree(answers=[{"text": "a", "answer_start": "0"}]), "its 'answer_start' is not a whole number"),
        ({"data": [{"paragraphs": [ask("a"), ask("b")]}]}, "the id 'q' occurs twice"),
    ],
)
def test_what_is_not_squad_is_named(tmp_path: Path, tree: object, message: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(tree))
    with pytest.raises(CorpusError, match=re.escape(message)):
        read_squad(tmp_path / "a.json", needs_answers=True)


def test_answers_are_only_needed_to_learn_or_to_score(tmp_path: Path) -> None:
    paragraph: dict[str, object] = {"context": "a", "qas": [{"id": "q", "question": "?"}]}
    path = write_paragraphs(tmp_path / "a.json", [paragraph])
    assert not read_squad(path, needs_answers=False).has_unanswerable
    with pytest.raises(CorpusError, match=r"qas\[0\]: no 'answers'"):
        read_squad(path, needs_answers=True)
    for content in ("{", "[" * 100_000, '{"data": ' + "9" * 5000 + "}"):
        path.write_text(content)
        with pytest.raises(CorpusError, match="not JSON"):
            read_squad(path, needs_answers=True)
    with pytest.raises(CorpusError, match="cannot read: No such file"):
        read_squad(tmp_path / "absent.json", needs_answers=True)


_CONTEXT = "The cat sat. A cat\u00a0 \nran; cats (1999)."


@pytest.mark.parametrize(
    ("text", "start", "found"),
    [
        ("cat", 4, "cat@4"),
        ("cat", 15, "cat@15"),
        # Within the words at the characters that are named: as in the BERT repository's code.
        ("cat", 5, "cat@4"),
        ("cat", 3, "cat@4"),
        ("cat", 2, "cat@4"),
        ("cat", 0, None),
        ("1999", 32, "1999@32"),
        ("1999", 31, "1999@32"),
        ("cat ran", 15, "cat\u00a0 \nran@15"),
        (" cat ", 3, "cat@4"),
        ("sat. A", 7, None),
        ("sat. A", 8, "sat. A@8"),
        ("cat", 8, None),
        ("dog", 4, None),
        ("cat", -1, None),
        ("cat", 999, None),
        ("cat", None, None),
        ("", 4, None),
        (" ", 3, None),
        ("cat.", 4, None),
        ("c.t", 4, None),
    ],
)
def test_an_answer_is_found_at_its_words_or_not_at_all(text: str, start: int | None, found: str | None) -> None:
    span = locate_answer(_CONTEXT, Answer(text, start))
    assert (None if span is None else f"{_CONTEXT[slice(*span)]}@{span[0]}") == found

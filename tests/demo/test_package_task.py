"""The demo's task is balanced and deterministic; its splits share no module."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.demo.docstrings import Document
from bertd.demo.package_task import LabeledSentence, PackageTask, make_task, write_task
from bertd.errors import CorpusError

_ADJECTIVES = ("old", "new", "red", "big", "sad", "wet", "dry", "shy")


def _document(name: str, noun: str) -> Document:
    """Eight sentences that say their module's noun."""
    text = " ".join(f"The {adjective} {noun} is seen by the man again." for adjective in _ADJECTIVES)
    return Document(name=name, paragraphs=[text])


ZOO = {noun: _document(f"packages/zoo/{noun}.py", noun) for noun in ("dog", "cat", "cow", "pig", "hen", "ape", "fox")}
CARS = {noun: _document(f"packages/cars/{noun}.py", noun) for noun in ("wheel", "motor", "brake", "clutch")}
STDLIB = {noun: _document(f"stdlib/{noun}.py", noun) for noun in ("heap", "queue")}
DOCUMENTS = list((ZOO | CARS | STDLIB).values())


def _nouns(examples: list[LabeledSentence], *, is_from_package: bool) -> set[str]:
    return {one.sentence.split()[2] for one in examples if one.is_from_package == is_from_package}


def _all(task: PackageTask) -> list[LabeledSentence]:
    return task.train + task.dev


def test_the_package_with_the_most_sentences_is_told_from_all_others_with_both_labels_equally_often() -> None:
    task = make_task(DOCUMENTS, seen=set())
    assert task.package == "zoo"
    for part in (task.train, task.dev):
        assert sum(one.is_from_package for one in part) * 2 == len(part) >= 20
        assert _nouns(part, is_from_package=True) < ZOO.keys()
        assert _nouns(part, is_from_package=False) < (CARS | STDLIB).keys()
    assert len({one.sentence for one in _all(task)}) == len(_all(task))


def test_no_module_has_sentences_in_both_splits() -> None:
    task = make_task(DOCUMENTS, seen=set())
    for label in (True, False):
        assert not _nouns(task.train, is_from_package=label) & _nouns(task.dev, is_from_package=label)


def test_a_module_with_most_of_the_sentences_leaves_some_for_both_splits() -> None:
    long = Document(name="packages/cars/long.py", paragraphs=[text for car in CARS.values() for text in car.paragraphs])
    for name in ("a", "b", "c", "d"):
        large = Document(name=f"packages/{name}/long.py", paragraphs=long.paragraphs)
        task = make_task([*ZOO.values(), large, *STDLIB.values()], seen=set())
        assert len(task.dev) >= 20
        assert _nouns(task.train, is_from_package=False) >= CARS.keys()


def test_all_modules_of_the_standard_library_are_one_package() -> None:
    documents = [_document(f"stdlib/{noun}.py", noun) for noun in ZOO]
    documents += [_document(f"packages/cars/{noun}.py", noun) for noun in CARS.keys() | STDLIB.keys()]
    assert make_task(documents, seen=set()).package == "the standard library"


def test_the_same_documents_in_any_order_give_the_same_task() -> None:
    assert make_task(DOCUMENTS, seen=set()) == make_task(reversed(DOCUMENTS + DOCUMENTS[:3]), seen=set())


def test_sentences_that_the_pretraining_read_are_left_out() -> None:
    seen = {f"The old {noun} is seen by the man again." for noun in ZOO | CARS | STDLIB}
    task = make_task(DOCUMENTS, seen=seen)
    assert len(_all(task)) >= 60
    assert not {one.sentence for one in _all(task)} & seen


def test_sentences_that_name_the_package_are_left_out_for_both_labels() -> None:
    named = [
        Document(name="packages/zoo/name.py", paragraphs=["An animal of the Zoo is seen by the man again."]),
        Document(name="packages/cars/name.py", paragraphs=["A car of the zoo is seen by the man again."]),
    ]
    assert make_task(DOCUMENTS + named, seen=set()) == make_task(DOCUMENTS, seen=set())


def test_too_few_sentences_or_one_package_alone_are_a_clear_error() -> None:
    for documents in ([], [ZOO["dog"], CARS["wheel"]], list(ZOO.values())):
        with pytest.raises(CorpusError, match=r"20 each are needed; read more with --source-mb"):
            make_task(documents, seen=set())


def test_the_files_are_in_colas_form(tmp_path: Path) -> None:
    task = make_task(DOCUMENTS, seen=set())
    write_task(task, tmp_path / "CoLA")
    rows = [line.split("\t") for line in (tmp_path / "CoLA" / "train.tsv").read_text().splitlines()]
    assert [len(row) for row in rows] == [4] * len(task.train)
    assert [(row[1], row[2], row[3]) for row in rows[:2]] == [
        (str(int(one.is_from_package)), "" if one.is_from_package else "*", one.sentence) for one in task.train[:2]
    ]

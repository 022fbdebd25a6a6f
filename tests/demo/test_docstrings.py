"""Docstrings are read without importing their modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.demo.corpus import build_corpus, is_held_out, prepare_corpus_folder, read_facts
from bertd.demo.docstrings import SourceFile, find_sources, fingerprint, module_paragraphs, read_documents
from bertd.errors import CorpusError

FILLER = "# " + "x" * 2_000 + "\n"
"""Files under 2 kB are not read."""


def _module(root: Path, name: str, *docstrings: str, tail: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    functions = [f'def f{index}():\n    """{text}"""\n' for index, text in enumerate(docstrings)]
    path.write_text(FILLER + "".join(functions) + tail)
    return path


def test_a_module_is_read_but_never_run(tmp_path: Path) -> None:
    path = _module(tmp_path, "a.py", "Return nothing at all, ever.", tail="raise SystemExit('imported')\n")
    assert module_paragraphs(path) == ["Return nothing at all, ever."]


def test_docstrings_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        '"""The module says this first."""\n'
        'class A:\n    """The class says this second."""\n'
        '    async def f(self):\n        """The method says this third."""\n'
        'def g():\n    """The function says this last."""\n'
    )
    assert [text.split()[-1] for text in module_paragraphs(path)] == ["first.", "second.", "third.", "last."]


@pytest.mark.parametrize("content", [b"print 'two'", b"\0", b"# coding: none\n", b"x = " + b"(" * 10_000])
def test_a_file_that_is_not_python_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.py"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="bad.py: cannot read"):
        module_paragraphs(path)


def test_tests_private_small_and_excess_modules_are_not_chosen(tmp_path: Path) -> None:
    for name in ("b/core.py", "b/__init__.py", "b/tests/t.py", "b/_private/p.py", "b/_hidden.py", "a/z.py", "a/a.py"):
        _module(tmp_path, name)
    (tmp_path / "b" / "small.py").write_text("'''Far too small to hold any documentation.'''")
    size = (tmp_path / "a/a.py").stat().st_size
    names = [source.name for source in find_sources({"packages": tmp_path}, max_bytes=1 << 20)]
    assert names == ["packages/a/a.py", "packages/a/z.py", "packages/b/__init__.py", "packages/b/core.py"]
    assert len(find_sources({"packages": tmp_path}, max_bytes=2 * size)) == 2


def test_no_source_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no Python source; install"):
        find_sources({"stdlib": tmp_path / "absent"}, max_bytes=1)


def test_documents_come_in_order_and_repeat_nothing_on_any_number_of_workers(tmp_path: Path) -> None:
    sources: list[SourceFile] = []
    for index in range(7):
        path = _module(
            tmp_path, f"m{index}.py", "This paragraph is in every module.", f"Only module number {index} has it."
        )
        sources.append(SourceFile(name=path.name, path=path, size_bytes=1))
    (tmp_path / "m3.py").write_text("not python")
    one, three = (list(read_documents(sources, num_workers=number)) for number in (1, 3))
    assert one == three
    assert [source for source, _ in one] == sources
    kept = [document.paragraphs if document else None for _, document in one]
    assert kept[0] == ["This paragraph is in every module.", "Only module number 0 has it."]
    assert kept[3] is None
    assert kept[6] == ["Only module number 6 has it."]


def test_the_same_files_are_built_once_and_a_changed_one_builds_again(tmp_path: Path) -> None:
    library = tmp_path / "library"
    nouns = ["list", "tree", "graph", "table", "queue", "stack", "heap", "string", "number", "file"]
    verbs = ["sorts", "copies", "reads", "writes", "prints", "counts", "joins", "splits", "checks", "hashes"]
    names: list[str] = []
    for index, noun in enumerate(nouns):
        for verb in verbs:
            names.append(f"package{index % 2}/{noun}_{verb}.py")
            _module(library, names[-1], *[f"This function {verb} every {a} in the given {noun}." for a in nouns])
    kept = [name for name in names if not is_held_out(f"packages/{name}")]
    num_held_out = len(names) - len(kept)
    assert 5 < num_held_out < 25
    folder = tmp_path / "demo"

    def build() -> bytes:
        sources = find_sources({"packages": library}, max_bytes=1 << 24)
        paths = prepare_corpus_folder(folder, sources)
        assert read_facts(paths) is None
        facts = build_corpus(paths, sources, num_workers=1, on_read=lambda source: None)
        assert read_facts(paths) == facts
        assert (facts.num_documents, facts.num_held_out) == (100 - num_held_out, num_held_out)
        assert (paths.glue / "CoLA" / "dev.tsv").read_text().count("\n") == facts.num_dev > 0
        paths.corpus.write_bytes(paths.corpus.read_bytes()[:-1])
        assert read_facts(paths) is None, "a damaged corpus is not used"
        return paths.corpus.read_bytes()

    first = build()
    before = fingerprint(find_sources({"packages": library}, max_bytes=1 << 24))
    _module(library, kept[0], "Another text altogether is here.")
    assert fingerprint(find_sources({"packages": library}, max_bytes=1 << 24)) != before
    assert build() != first
    assert len(list(folder.iterdir())) == 1, "data of other sources is removed"

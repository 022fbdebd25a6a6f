"""Collect the docstrings of the installed Python modules, read with `ast`, never imported.

Files are chosen by path and size alone, in sorted order, and read by worker processes (`python -m
bertd.demo.docstrings`: a JSON list of paths on standard input, one JSON line of paragraphs per file on standard
output, null for a file that is not Python). Results are read from the workers in turn, so the documents are in the
order of the files: the same files give the same documents on any number of cores.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bertd.demo.prose import paragraphs
from bertd.errors import BertdError, CorpusError

_SKIPPED_FOLDERS = {"test", "tests", "testing", "site-packages", "dist-packages", "idlelib", "lib2to3"}
"""Tests have little prose; the packages below the standard library's folder are a separate root."""
_MIN_FILE_BYTES = 2_000
_MAX_FILE_BYTES = 2_000_000
"""Larger files are generated tables."""
_MAX_PACKAGE_BYTES = 20_000_000
"""Limit per package, so that no single one (torch, transformers) is most of the corpus."""

_CORPUS_CODE_FILES = ("docstrings.py", "prose.py", "package_task.py", "word_counts.py", "corpus.py")
"""Files of this package that determine the corpus, besides the sources."""


@dataclass(frozen=True)
class SourceFile:
    """One file to read."""

    name: str
    """stdlib/http/server.py or packages/numpy/...: the same on every machine."""
    path: Path
    size_bytes: int


@dataclass(frozen=True)
class Document:
    """One module's documentation."""

    name: str
    paragraphs: list[str]


def installed_roots() -> dict[str, Path]:
    """Folders of the standard library and of the installed packages."""
    paths = sysconfig.get_paths()
    return {"stdlib": Path(paths["stdlib"]), "packages": Path(paths["purelib"])}


def find_sources(roots: dict[str, Path], *, max_bytes: int) -> list[SourceFile]:
    """Public modules under `roots`, sorted, up to `max_bytes` of source.

    Raises:
        CorpusError: no module found.
    """
    chosen: list[SourceFile] = []
    total = 0
    per_package: Counter[str] = Counter()
    for label, root in roots.items():
        for path, size_bytes in _public_modules(root):
            parts = path.relative_to(root).parts
            package = label if label == "stdlib" else parts[0]
            per_package[package] += size_bytes
            if per_package[package] > _MAX_PACKAGE_BYTES or total + size_bytes > max_bytes:
                continue
            total += size_bytes
            chosen.append(SourceFile(name="/".join((label, *parts)), path=path, size_bytes=size_bytes))
    if not chosen:
        places = ", ".join(map(str, roots.values()))
        raise CorpusError(f"{places}: no Python source; install Python with the source files of its library")
    return chosen


def _public_modules(root: Path) -> Iterator[tuple[Path, int]]:
    for folder, folders, files in os.walk(root):
        # Sorted in place, which also sorts the walk. Skip private and vendored modules: they are documented elsewhere.
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith("_"))
        for name in sorted(files):
            if not name.endswith(".py") or (name.startswith("_") and name != "__init__.py"):
                continue
            path = Path(folder) / name
            size_bytes = path.stat().st_size if path.is_file() else 0
            if _MIN_FILE_BYTES <= size_bytes <= _MAX_FILE_BYTES:
                yield path, size_bytes


def fingerprint(sources: list[SourceFile]) -> str:
    """A hash of the names and contents of the files, and of the code that turns them into a corpus.

    Raises:
        CorpusError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for name in _CORPUS_CODE_FILES:
        digest.update((Path(__file__).parent / name).read_bytes())
    for source in sources:
        digest.update(source.name.encode(errors="surrogateescape"))
        try:
            digest.update(hashlib.sha256(source.path.read_bytes()).digest())
        except OSError as error:
            raise CorpusError(f"{source.path}: cannot read: {error.strerror}; check its permissions") from error
    return digest.hexdigest()


def read_documents(sources: list[SourceFile], *, num_workers: int) -> Iterator[tuple[SourceFile, Document | None]]:
    """Yield each file with its documentation, in order; None if it has none.

    Raises:
        CorpusError: a worker died.
    """
    workers = [_start_worker(sources[first::num_workers]) for first in range(num_workers)]
    seen: set[str] = set()
    try:
        for index, source in enumerate(sources):
            output = workers[index % num_workers].stdout
            assert output is not None
            line = output.readline()
            if not line:
                raise CorpusError(f"{source.path}: the process that reads docstrings died there; try again")
            found: list[str] | None = json.loads(line)
            # Packages repeat paragraphs within and between each other; keep each once.
            fresh = [text for text in dict.fromkeys(found or []) if text not in seen]
            seen.update(fresh)
            yield source, Document(name=source.name, paragraphs=fresh) if fresh else None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()


def _start_worker(sources: list[SourceFile]) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "bertd.demo.docstrings"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C reaches only the demo, which ends its workers.
    )
    assert worker.stdin is not None
    # The worker reads its whole input before it writes, so neither pipe can block the other.
    json.dump([str(source.path) for source in sources], worker.stdin)
    worker.stdin.close()
    return worker


def module_paragraphs(path: Path) -> list[str]:
    """Prose of the docstrings of a module, its classes and functions, in file order.

    Raises:
        CorpusError: the file cannot be read, or is not valid for this Python version.
    """
    try:
        # Parsing warns of invalid escapes in strings, which do not matter here.
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CorpusError(f"{path}: cannot read: {error}; leave it out") from error
    return [text for docstring in _docstrings(tree) for text in paragraphs(docstring)]


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    if text := ast.get_docstring(node, clean=False):
        yield text
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child)


def _serve(requests: IO[str], answers: IO[str]) -> None:
    for name in json.load(requests):
        try:
            found: list[str] | None = module_paragraphs(Path(name))
        except BertdError:
            found = None
        answers.write(json.dumps(found) + "\n")
    answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)

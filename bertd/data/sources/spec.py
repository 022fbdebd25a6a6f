"""Sources as the command line names them, `kind:path`, and their files; a path may be a glob or a folder.

The kind may be left out where a file shows it: by its name (.jsonl, .parquet) or its first bytes (`<doc id=`,
`<mediawiki`, `{`, `= = = Title = = =`, ` = Title = ` on a line). Everything else is text, one document a file. The
files of a tar are examined one by one.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path, PurePath
from typing import BinaryIO

from bertd.data.sources.archives import SourceStream, is_hidden, is_tar, open_source, strip_compression_suffix
from bertd.data.sources.readers.document import Reader
from bertd.data.sources.readers.headings import HEADING, Headings
from bertd.data.sources.readers.jsonl import JsonLines
from bertd.data.sources.readers.tables import SENTENCES_PER_DOCUMENT, HubTable, Parquet
from bertd.data.sources.readers.text import TextBlocks, TextFiles
from bertd.data.sources.readers.wikiextractor import WikiExtractor
from bertd.data.sources.readers.wikitext103 import WikiText103, is_wikitext103
from bertd.data.sources.readers.wikixml import WikiXml
from bertd.errors import CorpusError
from bertd.run.paths import expand_user
from bertd.run.quantities import format_count


class SourceKind(StrEnum):
    """How a source's files are read."""

    TEXT = "text"
    TEXT_BLOCKS = "text-blocks"
    JSONL = "jsonl"
    HEADINGS = "headings"
    WIKITEXT103 = "wikitext103"
    WIKIEXTRACTOR = "wikiextractor"
    WIKI_XML = "wiki-xml"
    PARQUET = "parquet"
    PARQUET_SENTENCES = "parquet-sentences"
    HF = "hf"
    HF_SENTENCES = "hf-sentences"


_GUESS_BYTES = 1 << 14
_EXTRACTED_JSON = re.compile(rb'\{"id": ?"\d+", (?:"revid": ?"\d*", )?"url": ?"[^"]*", "title": ?"')
"""How a line of `wikiextractor --json` begins."""
_NAMES_SHOWN = 3
_MAGIC_BYTES = {
    b"<doc id=": SourceKind.WIKIEXTRACTOR,
    b"<mediawiki": SourceKind.WIKI_XML,
    b"{": SourceKind.JSONL,
}


@dataclass(frozen=True)
class Source:
    """One source of the command line."""

    kind: SourceKind
    path: str
    """As given on the command line."""
    files: tuple[Path, ...]
    """In the order of their paths; none for a data set of the hub."""
    members: frozenset[str] | None = None
    """Files to read inside the one tar in `files`; None for all."""

    @property
    def units(self) -> tuple[Path | None, ...]:
        """What to open, in order: the files, or one None for a data set of the hub."""
        return self.files or (None,)

    @property
    def num_bytes(self) -> int:
        """Size of the files on disk."""
        return sum(file.stat().st_size for file in self.files)

    def open(self, unit: Path | None) -> AbstractContextManager[Iterator[SourceStream]]:
        """Open one of the units: a stream for a file, many for a tar."""
        if unit is None:
            return nullcontext(iter([SourceStream(name=self.path, raw=BytesIO(), content=BytesIO())]))
        return open_source(unit, members=self.members)


@dataclass(frozen=True)
class ReadingOptions:
    """Options of the readers."""

    text_field: str = "text"
    keep_disambiguation: bool = False


def make_reader(source: Source, options: ReadingOptions) -> Reader:
    match source.kind:
        case SourceKind.TEXT:
            return TextFiles()
        case SourceKind.TEXT_BLOCKS:
            return TextBlocks()
        case SourceKind.HEADINGS:
            return Headings()
        case SourceKind.WIKITEXT103:
            return WikiText103()
        case SourceKind.JSONL:
            return JsonLines(text_field=options.text_field)
        case SourceKind.WIKIEXTRACTOR:
            return WikiExtractor()
        case SourceKind.WIKI_XML:
            return WikiXml(keep_disambiguation=options.keep_disambiguation)
        case SourceKind.PARQUET:
            return Parquet(text_field=options.text_field)
        case SourceKind.HF:
            return HubTable(source.path, text_field=options.text_field)
        case SourceKind.PARQUET_SENTENCES:
            return Parquet(text_field=options.text_field, rows_per_document=SENTENCES_PER_DOCUMENT)
        case SourceKind.HF_SENTENCES:
            return HubTable(source.path, text_field=options.text_field, rows_per_document=SENTENCES_PER_DOCUMENT)


def find_sources(names: list[str]) -> list[Source]:
    """The sources that `kind:path` words name, in their order.

    Raises:
        CorpusError: a source does not exist, holds no file, or is given twice.
    """
    sources = [source for name in names for source in _find_one(name)]
    seen: dict[str, str] = {}
    for number, source in enumerate(sources):
        # A tar with files of several kinds becomes several sources of one name.
        is_tar_part = source.members is not None
        place = source.path if is_tar_part else f"{source.path} ({number + 1})"
        for one in [str(file.resolve()) for file in source.files] or [f"hf:{source.path}"]:
            before = seen.get(one)
            if before is not None and not (is_tar_part and before == place):
                raise CorpusError(f"{one}: given twice, by {before} and by {place}; leave one out")
            seen[one] = place
    return sources


def _find_one(name: str) -> list[Source]:
    kind, path = _split_kind(name)
    if kind in (SourceKind.HF, SourceKind.HF_SENTENCES):
        return [Source(kind=kind, path=path, files=())]
    try:
        files = _list_files(path)
    except OSError as error:
        raise CorpusError(f"{path}: cannot read: {error.strerror}; check the permissions") from error
    if kind is not None:
        return [Source(kind=kind, path=path, files=tuple(files))]
    by_kind: dict[SourceKind, list[Path]] = {}
    for file in files:
        if not is_tar(file):
            by_kind.setdefault(guess_kind(file), []).append(file)
    sources = [Source(kind=kind, path=path, files=tuple(of_kind)) for kind, of_kind in by_kind.items()]
    return sources + [source for file in files if is_tar(file) for source in _find_in_tar(file)]


def _find_in_tar(file: Path) -> list[Source]:
    """A source for each kind of file in a tar.

    Raises:
        CorpusError: it cannot be read, or holds no file.
    """
    by_kind: dict[SourceKind, set[str]] = {}
    with open_source(file) as streams:
        for stream in streams:
            name = stream.name.removeprefix(f"{file}/")
            by_kind.setdefault(_guess_from_content(name, stream.content), set()).add(name)
    if not by_kind:
        raise CorpusError(f"{file}: holds no file; name another source")
    return [
        Source(kind=kind, path=str(file), files=(file,), members=frozenset(names)) for kind, names in by_kind.items()
    ]


def _split_kind(name: str) -> tuple[SourceKind | None, str]:
    word, colon, path = name.partition(":")
    if colon and word in list(SourceKind):
        return SourceKind(word), path
    return None, name


def _list_files(path: str) -> list[Path]:
    """The file, the files below a folder, or what a glob matches, sorted; hidden files of folders are skipped.

    Raises:
        CorpusError: there is none.
    """
    resolved = expand_user(path)
    if resolved.is_file():
        return [resolved]
    if resolved.is_dir():
        found = _walk(resolved)
    elif glob.has_magic(path):
        # Path.glob takes no absolute pattern.
        matches = glob.glob(str(resolved), recursive=True)  # noqa: PTH207
        found = [Path(match) for match in matches if Path(match).is_file()]
    else:
        kinds = ", ".join(SourceKind)
        raise CorpusError(f"{path}: no such file or folder; name a source KIND:PATH, with KIND one of {kinds}")
    if not found:
        raise CorpusError(f"{path}: holds no file; name another source")
    return sorted(found)


def _walk(folder: Path) -> list[Path]:
    """Files below a folder, links followed; what cannot be read is an error, which Path.rglob would skip.

    Raises:
        CorpusError: a link is broken or leads to a folder that was already visited, or an entry is not a file.
        OSError: a folder cannot be read.
    """

    def raise_error(error: OSError) -> None:
        raise error

    found = []
    seen_folders: set[Path] = set()
    for root, folders, names in os.walk(folder, onerror=raise_error, followlinks=True):
        if (place := Path(root).resolve()) in seen_folders:
            raise CorpusError(f"{root}: given twice, since a link leads to {place}; remove the link")
        seen_folders.add(place)
        folders[:] = [name for name in folders if not is_hidden(name)]
        for file in (Path(root, name) for name in names if not is_hidden(name)):
            if not file.is_file():
                raise CorpusError(f"{file}: not a file, or a broken link; remove it")
            found.append(file)
    return found


def guess_kind(file: Path) -> SourceKind:
    """Guess a file's kind from its name and its first bytes.

    Raises:
        CorpusError: it cannot be read.
    """
    with open_source(file) as streams:
        return _guess_from_content(file.name, next(streams).content)


def _guess_from_content(name: str, content: BinaryIO) -> SourceKind:
    suffix = PurePath(strip_compression_suffix(name)).suffix
    if suffix in (".jsonl", ".ndjson", ".json"):
        return SourceKind.JSONL
    if suffix == ".parquet":
        return SourceKind.PARQUET
    begin = content.read(_GUESS_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if _EXTRACTED_JSON.match(begin):
        return SourceKind.WIKIEXTRACTOR
    for opening, kind in _MAGIC_BYTES.items():
        if begin.startswith(opening):
            return kind
    if is_wikitext103(begin):
        return SourceKind.WIKITEXT103
    return SourceKind.HEADINGS if HEADING.search(begin) else SourceKind.TEXT


def mixed_kinds_lines(sources: list[Source]) -> list[str]:
    """A line for each folder, glob or tar whose files were taken for several kinds, which may be a wrong guess."""
    by_path: dict[str, list[Source]] = {}
    for source in sources:
        by_path.setdefault(source.path, []).append(source)
    lines = []
    for path, of_path in by_path.items():
        if len({source.kind for source in of_path}) > 1:
            kinds = ", ".join(_describe_files(source) for source in of_path)
            lines.append(f"{path}: its files are read as several kinds: {kinds}; KIND:{path} reads all as one kind")
    return lines


def _describe_files(source: Source) -> str:
    names = sorted(source.members) if source.members is not None else [file.name for file in source.files]
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return f"{format_count(len(names), 'file')} as {source.kind} ({shown})"

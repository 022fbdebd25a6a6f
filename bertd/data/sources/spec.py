"""Sources as the command line names them, `kind:path`, and their files; a path may be a glob or a folder.

The kind may be left out; `guess.py` finds it in each file, and in each file of an archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath

from bertd.data.sources.archives import SourceStream, describe_misnamed, is_archive, open_source
from bertd.data.sources.file_list import list_files
from bertd.data.sources.guess import describe_mismatch, guess_kind
from bertd.data.sources.kinds import SourceKind as SourceKind
from bertd.data.sources.readers.decoded import DecodedReader
from bertd.data.sources.readers.document import Reader
from bertd.data.sources.readers.lines import TextLines
from bertd.data.sources.readers.rows.arrow import ArrowTable
from bertd.data.sources.readers.rows.columns import SENTENCES_PER_DOCUMENT
from bertd.data.sources.readers.rows.delimited import DelimitedTable
from bertd.data.sources.readers.rows.hub_table import HubTable, is_saved_dataset, split_config
from bertd.data.sources.readers.rows.json_values import JsonValues
from bertd.data.sources.readers.rows.jsonl import JsonLines
from bertd.data.sources.readers.rows.parquet import Parquet
from bertd.data.sources.readers.rows.row_filter import RowFilter, parse_condition
from bertd.data.sources.readers.text import TextBlocks, TextFiles
from bertd.data.sources.readers.warc import WarcText
from bertd.data.sources.readers.wiki.headings import Headings
from bertd.data.sources.readers.wiki.wikiextractor import WikiExtractor
from bertd.data.sources.readers.wiki.wikitext103 import WikiText103
from bertd.data.sources.readers.wiki.wikixml import WikiXml
from bertd.data.sources.remote_files import SourceFile, is_url, list_remote_files
from bertd.errors import CorpusError
from bertd.run.amounts.quantities import format_count
from bertd.run.paths import expand_user

_NAMES_SHOWN = 3


@dataclass(frozen=True)
class Source:
    """One source of the command line."""

    kind: SourceKind
    path: str
    """As given on the command line."""
    files: tuple[SourceFile, ...]
    """In the order of their paths; none for a data set of the hub."""
    members: frozenset[str] | None = None
    """Files to read inside the one archive in `files`; None for all."""

    @property
    def units(self) -> tuple[SourceFile | None, ...]:
        """What to open, in order: the files, or one None for a data set of the hub."""
        return self.files or (None,)

    @property
    def watched_files(self) -> tuple[SourceFile, ...]:
        """What the text comes from: the files, or those below a folder that `datasets` reads."""
        if self.files:
            return self.files
        folder = Path(split_config(self.path)[0])
        return tuple(sorted(file for file in folder.rglob("*") if file.is_file())) if folder.is_dir() else ()

    @property
    def num_bytes(self) -> int:
        """Size of the files on disk."""
        return sum(file.stat().st_size for file in self.files)

    def open(self, unit: SourceFile | None) -> AbstractContextManager[Iterator[SourceStream]]:
        """Open one of the units: a stream for a file, many for an archive."""
        if unit is None:
            return nullcontext(iter([SourceStream(name=self.path, raw=BytesIO(), content=BytesIO())]))
        return open_source(unit, members=self.members)


@dataclass(frozen=True)
class ReadingOptions:
    """Options of the readers."""

    text_field: str = "text"
    keep_disambiguation: bool = False
    encoding: str | None = None
    """Of files that are not UTF-8 and do not say what they are."""
    where: tuple[str, ...] = ()
    """Conditions on other columns, as `parse_condition` reads them; a row must meet all."""


_BINARY_KINDS = (
    SourceKind.PARQUET,
    SourceKind.PARQUET_SENTENCES,
    SourceKind.ARROW,
    SourceKind.ARROW_SENTENCES,
    SourceKind.HF,
    SourceKind.HF_SENTENCES,
    SourceKind.WARC,
)
_KINDS_WITHOUT_COLUMNS = (
    SourceKind.TEXT,
    SourceKind.TEXT_BLOCKS,
    SourceKind.LINES,
    SourceKind.HEADINGS,
    SourceKind.WIKITEXT103,
    SourceKind.WIKIEXTRACTOR,
    SourceKind.WIKI_XML,
)


def make_reader(source: Source, options: ReadingOptions) -> Reader:
    """The reader of a source's files; it gets those that are text as UTF-8.

    Raises:
        CorpusError: there are conditions on columns, and the kind has none.
    """
    if options.where and source.kind in _KINDS_WITHOUT_COLUMNS:
        raise CorpusError(
            f"{source.path}: is read as {source.kind}, which has no columns for --where; prepare it without, or name "
            "another kind"
        )
    reader = _make_format_reader(source, options)
    return reader if source.kind in _BINARY_KINDS else DecodedReader(reader, encoding=options.encoding)


def _make_format_reader(source: Source, options: ReadingOptions) -> Reader:
    row_filter = RowFilter(tuple(map(parse_condition, options.where)))
    match source.kind:
        case SourceKind.TEXT:
            return TextFiles()
        case SourceKind.TEXT_BLOCKS:
            return TextBlocks()
        case SourceKind.LINES:
            return TextLines()
        case SourceKind.HEADINGS:
            return Headings()
        case SourceKind.WIKITEXT103:
            return WikiText103()
        case SourceKind.JSONL:
            return JsonLines(text_field=options.text_field, row_filter=row_filter)
        case SourceKind.JSON:
            return JsonValues(text_field=options.text_field, row_filter=row_filter)
        case SourceKind.CSV:
            return DelimitedTable(text_field=options.text_field, row_filter=row_filter)
        case SourceKind.TSV:
            return DelimitedTable(text_field=options.text_field, row_filter=row_filter, delimiters=("\t",))
        case SourceKind.WIKIEXTRACTOR:
            return WikiExtractor()
        case SourceKind.WIKI_XML:
            return WikiXml(keep_disambiguation=options.keep_disambiguation)
        case SourceKind.PARQUET:
            return Parquet(text_field=options.text_field, row_filter=row_filter)
        case SourceKind.ARROW:
            return ArrowTable(text_field=options.text_field, row_filter=row_filter)
        case SourceKind.ARROW_SENTENCES:
            return ArrowTable(
                text_field=options.text_field, row_filter=row_filter, values_per_document=SENTENCES_PER_DOCUMENT
            )
        case SourceKind.WARC:
            return WarcText(row_filter=row_filter)
        case SourceKind.HF:
            return HubTable(source.path, text_field=options.text_field, row_filter=row_filter)
        case SourceKind.PARQUET_SENTENCES:
            return Parquet(
                text_field=options.text_field, row_filter=row_filter, values_per_document=SENTENCES_PER_DOCUMENT
            )
        case SourceKind.HF_SENTENCES:
            return HubTable(
                source.path,
                text_field=options.text_field,
                row_filter=row_filter,
                values_per_document=SENTENCES_PER_DOCUMENT,
            )


def find_sources(
    names: list[str], *, encoding: str | None = None, note: Callable[[str], None] = lambda line: None
) -> list[Source]:
    """The sources that `kind:path` words name, in their order.

    Args:
        encoding: see ReadingOptions.
        note: called with a line for what is not as its name says.

    Raises:
        CorpusError: a source does not exist, holds no file, or is given twice.
    """
    sources = [source for name in names for source in _find_one(name, encoding=encoding, note=note)]
    seen: dict[str, str] = {}
    for number, source in enumerate(sources):
        # An archive with files of several kinds becomes several sources of one name.
        is_archive_part = source.members is not None
        place = source.path if is_archive_part else f"{source.path} ({number + 1})"
        for one in [str(file.resolve()) for file in source.files] or [f"hf:{source.path}"]:
            before = seen.get(one)
            if before is not None and not (is_archive_part and before == place):
                raise CorpusError(f"{one}: given twice, by {before} and by {place}; leave one out")
            seen[one] = place
    return sources


def _find_one(name: str, *, encoding: str | None, note: Callable[[str], None]) -> list[Source]:
    kind, path = _split_kind(name)
    if kind in (SourceKind.HF, SourceKind.HF_SENTENCES):
        return [Source(kind=kind, path=str(expand_user(path)), files=())]
    try:
        files: list[SourceFile]
        if is_url(path):
            files = [*list_remote_files(path)]
        elif kind is None and is_saved_dataset(expand_user(path)):
            return [Source(kind=SourceKind.HF, path=str(expand_user(path)), files=())]
        else:
            files = [*list_files(path, note=note)]
    except OSError as error:
        place = error.filename or path
        raise CorpusError(f"{place}: cannot read: {error.strerror}; check the permissions") from error
    for line in filter(None, map(describe_misnamed, files)):
        note(line)
    if kind is not None:
        return [Source(kind=kind, path=path, files=tuple(files))]
    archives = set(filter(is_archive, files))
    by_kind: dict[SourceKind, list[SourceFile]] = {}
    for file in files:
        if file not in archives:
            with open_source(file) as streams:
                found = guess_kind(file.name, next(streams).content, encoding=encoding)
            by_kind.setdefault(found, []).append(file)
    for kind, of_kind in by_kind.items():
        _note_mismatches(kind, list(map(str, of_kind)), note=note)
    sources = [Source(kind=kind, path=path, files=tuple(of_kind)) for kind, of_kind in by_kind.items()]
    for file in sorted(archives, key=str):
        sources += _find_in_archive(file, encoding=encoding, note=note)
    return sources


def _find_in_archive(file: SourceFile, *, encoding: str | None, note: Callable[[str], None]) -> list[Source]:
    """A source for each kind of file in an archive.

    Raises:
        CorpusError: it cannot be read, or holds no file.
    """
    by_kind: dict[SourceKind, set[str]] = {}
    with open_source(file) as streams:
        for stream in streams:
            name = stream.name.removeprefix(f"{file}/")
            by_kind.setdefault(guess_kind(name, stream.content, encoding=encoding), set()).add(name)
    if not by_kind:
        raise CorpusError(f"{file}: holds no file; name another source")
    for kind, names in by_kind.items():
        _note_mismatches(kind, [f"{file}/{name}" for name in sorted(names)], note=note)
    return [
        Source(kind=kind, path=str(file), files=(file,), members=frozenset(names)) for kind, names in by_kind.items()
    ]


def _note_mismatches(kind: SourceKind, names: list[str], *, note: Callable[[str], None]) -> None:
    """One line for all files of a kind whose names promise another, and one for HTML."""
    pages = [name for name in names if PurePath(name).suffix.lower() in (".html", ".htm", ".xhtml")]
    if pages and kind is SourceKind.TEXT:
        more = f" (and {len(pages) - 1:,} more)" if len(pages) > 1 else ""
        note(f"{pages[0]}{more}: is HTML, whose tags are read as text; extract its text first")
    found = [(name, what) for name in names if (what := describe_mismatch(name, kind))]
    if found:
        name, what = found[0]
        more = f" (and {len(found) - 1:,} more)" if len(found) > 1 else ""
        note(f"{name}{more}: holds {what}, whatever its name says, and is read so; KIND:PATH names another kind")


def _split_kind(name: str) -> tuple[SourceKind | None, str]:
    word, colon, path = name.partition(":")
    # hf:// is a file system, and hf: a kind.
    if colon and word in list(SourceKind) and not path.startswith("//"):
        return SourceKind(word), path
    return None, name


def absolute_source(name: str) -> str:
    """A source with an absolute path, for another folder or machine; a data set of the hub as it is."""
    kind, path = _split_kind(name)
    if kind in (SourceKind.HF, SourceKind.HF_SENTENCES) and not Path(split_config(path)[0]).exists():
        return name
    if is_url(path):
        return name
    absolute = str(expand_user(path).absolute())
    return absolute if kind is None else f"{kind}:{absolute}"


def mixed_kinds_lines(sources: list[Source]) -> list[str]:
    """A line for each folder, glob or archive whose files were taken for several kinds, which may be a wrong guess."""
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

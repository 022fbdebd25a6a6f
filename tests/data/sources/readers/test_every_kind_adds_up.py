"""Of each kind of source, what is kept and what is left out is what was read; a kind that is not here fails."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from bertd.data.sources.kinds import SourceKind
from bertd.data.sources.readers.document import Document
from bertd.data.sources.spec import ReadingOptions, Source, make_reader
from tests.data.sources.readers.checked import checked
from tests.data.sources.readers.test_nothing_is_lost import words_accounted, words_of
from tests.data.sources.readers.test_warc import record

_TEXTS = [" ".join(f"word{number:02}{place}end" for place in range(3 + number % 7)) + "." for number in range(60)]
_SENTENCES = "\n".join(_TEXTS)


def _table(delimiter: str) -> str:
    return "\n".join([f"id{delimiter}text", *(f"n{number}{delimiter}{text}" for number, text in enumerate(_TEXTS))])


def _pages() -> str:
    pages = (f"<page><ns>0</ns><revision><text>{html.escape(text)}</text></revision></page>" for text in _TEXTS)
    return f"<mediawiki>{''.join(pages)}</mediawiki>"


_HEADED = "\n".join(f"= = = T{number} = = =\n{text}" for number, text in enumerate(_TEXTS))
_ARTICLES = "\n".join(f" = T{number} =\n{text}" for number, text in enumerate(_TEXTS))
_EXTRACTED = [f"\nT{number}\n\n{text}\n" for number, text in enumerate(_TEXTS)]
_TEXT_FILES: dict[SourceKind, tuple[str, str]] = {
    SourceKind.TEXT: (_SENTENCES, _SENTENCES),
    SourceKind.TEXT_BLOCKS: ("\n\n".join(_TEXTS), "".join(_TEXTS)),
    SourceKind.LINES: (_SENTENCES, "".join(_TEXTS)),
    SourceKind.HEADINGS: (_HEADED, _HEADED),
    SourceKind.WIKITEXT103: (_ARTICLES, _ARTICLES),
    SourceKind.JSONL: ("\n".join(json.dumps({"text": text}) for text in _TEXTS), "".join(_TEXTS)),
    SourceKind.JSON: (json.dumps(_TEXTS, indent=1), "".join(_TEXTS)),
    SourceKind.CSV: (_table(","), "".join(_TEXTS)),
    SourceKind.TSV: (_table("\t"), "".join(_TEXTS)),
    SourceKind.WIKIEXTRACTOR: (
        "".join(f'<doc id="1" url="u" title="T{n}">{text}</doc>\n' for n, text in enumerate(_EXTRACTED)),
        "".join(_EXTRACTED),
    ),
    SourceKind.WIKI_XML: (_pages(), "".join(_TEXTS)),
    SourceKind.WARC: ("".join(record(text).decode() for text in _TEXTS), "".join(_TEXTS)),
}
"""A file of each kind, and the characters that count as read."""
_TABLES: dict[SourceKind, Callable[[Path], None]] = {
    kind: write
    for kinds, write in (
        (
            (SourceKind.PARQUET, SourceKind.PARQUET_SENTENCES, SourceKind.HF, SourceKind.HF_SENTENCES),
            lambda path: pyarrow.parquet.write_table(pyarrow.table({"text": _TEXTS}), path),
        ),
        (
            (SourceKind.ARROW, SourceKind.ARROW_SENTENCES),
            lambda path: pyarrow.feather.write_feather(pyarrow.table({"text": _TEXTS}), str(path)),
        ),
    )
    for kind in kinds
}


def _write_source(kind: SourceKind, folder: Path) -> tuple[Source, int]:
    path = folder / "train.parquet"
    if kind in _TABLES:
        _TABLES[kind](path)
        is_folder = kind in (SourceKind.HF, SourceKind.HF_SENTENCES)
        source = Source(kind=kind, path=str(folder), files=() if is_folder else (path,))
        return source, len(_SENTENCES if kind.endswith("-sentences") else "".join(_TEXTS))
    content, read = _TEXT_FILES[kind]
    path.write_text(content, newline="")
    return Source(kind=kind, path=str(path), files=(path,)), len(read)


@pytest.mark.parametrize("kind", SourceKind)
@pytest.mark.parametrize("block_bytes", [30, 1 << 20])
def test_what_is_kept_and_what_is_left_out_is_what_was_read(kind: SourceKind, block_bytes: int, tmp_path: Path) -> None:
    source, num_read = _write_source(kind, tmp_path)
    reader = make_reader(source, ReadingOptions())
    with source.open(source.units[0]) as streams:
        blocks = list(reader.blocks(next(streams).content, block_bytes=block_bytes))
    read = list(checked(result for block in blocks for result in reader.documents(block.content)))
    assert sum(one.read for one in read) == num_read
    assert words_accounted(read) == words_of(_SENTENCES)
    kept = words_of("".join(one.text for one in read if isinstance(one, Document)))
    assert len(kept) > 0.95 * len(words_of(_SENTENCES))

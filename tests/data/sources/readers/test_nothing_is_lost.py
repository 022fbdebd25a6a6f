"""Nothing is lost in silence: of random documents, each word is in the text or in what the reader says it left out.

The sum of characters is checked for every reading by `checked`; here each word is looked for, too, so that no piece can
hide in the rest that a reader gives one reason.
"""

from __future__ import annotations

import csv
import html
import io
import json
import random
import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bertd.data.sources.readers import left_out as left_out_module
from bertd.data.sources.readers.decoded import DecodedReader
from bertd.data.sources.readers.document import Document, Reader, Skipped
from bertd.data.sources.readers.lines import TextLines
from bertd.data.sources.readers.rows.delimited import DelimitedTable
from bertd.data.sources.readers.rows.json_values import JsonValues
from bertd.data.sources.readers.rows.jsonl import JsonLines
from bertd.data.sources.readers.rows.parquet import Parquet
from bertd.data.sources.readers.text import TextBlocks, TextFiles
from bertd.data.sources.readers.wiki.headings import Headings
from bertd.data.sources.readers.wiki.wikiextractor import WikiExtractor
from bertd.data.sources.readers.wiki.wikitext import read_wikitext
from bertd.data.sources.readers.wiki.wikitext103 import WikiText103
from bertd.data.sources.readers.wiki.wikixml import WikiXml
from tests.data.sources.readers.checked import checked, results

# Every document is written with words of its own, `{}` in these pieces.
_WIKITEXT_PIECES = (
    *(
        "{}",
        "{}. ",
        "{} {}, {} {} {}. ",
        "\n",
        "\n\n",
        "'''{}'''",
        "東京{}。",
        "{} ( , ) ",
        "{}({{{{{}}}}}, {})",
        "__NOTOC__",
    ),
    *("[[{}]]", "[[{}|{} {}]]", "[[File:{}.jpg|thumb|{} {}.]]", "[http://{}.org {}]", "http://{}.org/{}", "[[de:{}]]"),
    *(
        "{{{{{}}}}}",
        "{{{{convert|5|{}}}}}",
        "{{{{lang|fr|{} ''{}''}}}}",
        "{{{{quote|{} [[{}|{}]].}}}}",
        "{{{{{}|{}={}}}}}",
    ),
    *(
        "{{{{quote|\n* {}\n* {}\n* {}\n* {}\n* {}\n* {}\n* {}\n* {}}}}}",
        "{{{{{{{}|{}}}}}}}",
        "{{{{nowrap|<p>{}</p>}}}}",
    ),
    *(
        "<ref>{} {}</ref>",
        "<ref name={}/>",
        "<ref>",
        "</ref>",
        "<nowiki>[[{}]] <ref></nowiki>",
        "<nowiki>",
        "<nowiki/>",
    ),
    *(
        "<!-- {} -->",
        "<!--",
        "<math>{}</math>",
        "<pre>{}</pre>",
        "<includeonly>{}</includeonly>",
        "<gallery>{}</gallery>",
    ),
    *("\n{{| {}\n| {} || {}\n|}}\n", "{{|", "|}}", "\n| {}\n", "\n* {}", "\n* {} {} {} {} {} {}.", "\n# {}", "\n: {}."),
    *(
        "\n; {}: {}",
        "\n== {} ==\n",
        "\n=== {} ===\n",
        "<br>",
        "<b>{}</b>",
        '<div class="{}">{}</div>',
        "<span>",
        "<li>{}",
    ),
    *("&amp;", "&lt;{}&gt;", "&nbsp;", "&lt;br&gt;", "[[", "]]", "{{{{", "}}}}", "<", ">", "|", "'''''", "<{}>"),
)
_GUTENBERG_PIECES = (
    *("{} {}.\n", "{} " * 12 + "\n", "\n", "\n\n", "\r\n", "  {}\n", "\ufeff", "\x00", "\t", "{}-\n{}", "\u2028"),
    *("*** START OF THE PROJECT GUTENBERG EBOOK {} ***\n", "*** END OF THIS PROJECT GUTENBERG EBOOK {} ***\n"),
    *("*** START OF THE PROJECT GUTENBERG EBOOK {}\n{} ***\n", "The Project Gutenberg EBook of {}\n"),
    *("*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n", "***START**THE SMALL PRINT!**START***\n"),
    *("End of Project Gutenberg's {}\n", "about Project Gutenberg {}\n"),
)
_EXTRACTED_PIECES = (
    *("{} {}.\n", "\n", "&lt;{}&gt;", "&amp;lt;", '<a href="{}">{}</a>', "<br>", "<ref name={}>", "{} < {}"),
    *("<stdio.{}>", "Section::::{}.\n", "BULLET::::- {}\n", "\n\n", "&nbsp;"),
)
_WIKITEXT103_PIECES = (
    *(
        " = {} = \n",
        "= {} {} =\n",
        " = = {} = = \n",
        "= = = {} = = =\n",
        "== {} ==\n",
        " = = {} = \n",
        " = {}",
        " = \n",
    ),
    *(" {} <unk> {} . ", "{} @-@ {}", " {} @,@ {}@.@{} ", "\n", " \n", "\r\n", "<unk>", "{} = {}"),
)


def write_document(pieces: tuple[str, ...], seed: int, *, length: int) -> str:
    """Random pieces, each with words that occur once."""
    draw = random.Random(seed)
    words = (f"word{number}end" for number in range(10_000))
    chosen = draw.choices(pieces, k=length)
    return "".join(piece.format(*(next(words) for _ in range(piece.count("{}") + 4))) for piece in chosen)


def words_of(text: str) -> set[str]:
    return set(re.findall(r"word\d+end", text))


@pytest.fixture(autouse=True)
def all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep all that is left out, whole."""
    for module in ("bertd.data.sources.readers.left_out", "tests.data.sources.readers.checked"):
        monkeypatch.setattr(f"{module}.MAX_SAMPLES", 1 << 20)
        monkeypatch.setattr(f"{module}.MAX_SAMPLE_CHARACTERS", 1 << 20)
    assert left_out_module.MAX_SAMPLES == 1 << 20


def words_accounted(read: list[Document | Skipped]) -> set[str]:
    """Words of the texts and of what was left out."""
    found: set[str] = set()
    for one in read:
        if isinstance(one, Skipped):
            found |= words_of(one.sample)
            continue
        found |= words_of(one.text)
        for samples in one.left_out.samples.values():
            found |= {word for _, sample in samples for word in words_of(sample)}
    return found


_SEEDS = given(seed=st.integers(min_value=0, max_value=1 << 30), length=st.integers(min_value=0, max_value=40))


@_SEEDS
def test_each_word_of_a_wiki_page_is_kept_or_left_out_for_a_reason(seed: int, length: int) -> None:
    wikitext = write_document(_WIKITEXT_PIECES, seed, length=length)
    read: list[Document | Skipped] = list(checked([read_wikitext(wikitext)]))
    assert sum(one.read for one in read) == len(wikitext)
    assert words_accounted(read) == words_of(wikitext)


@_SEEDS
def test_each_word_of_a_text_is_kept_or_left_out_for_a_reason(seed: int, length: int) -> None:
    text = write_document(_GUTENBERG_PIECES, seed, length=length)
    read = results(TextFiles(), text.encode())
    assert sum(one.read for one in read) == len(text)
    assert words_accounted(read) == words_of(text)
    assert words_accounted(results(TextBlocks(), text.encode(), block_bytes=40)) == words_of(text)


@_SEEDS
def test_each_word_of_wikitext103_is_kept_or_left_out_for_a_reason(seed: int, length: int) -> None:
    text = write_document(_WIKITEXT103_PIECES, seed, length=length)
    for block_bytes in (5, 1 << 20):
        read = results(WikiText103(), text.encode(), block_bytes=block_bytes)
        assert sum(one.read for one in read) == len(text)
        assert words_accounted(read) == words_of(text)


@_SEEDS
def test_each_word_of_an_extracted_article_is_kept_or_left_out_for_a_reason(seed: int, length: int) -> None:
    text = write_document(_EXTRACTED_PIECES, seed, length=length)
    element = f'<doc id="1" url="u" title="A">\nA\n\n{text}</doc>\n'
    line = json.dumps({"title": "A", "text": f"A\n\n{text}"}) + "\n"
    for content, num_read in ((element, len(f"\nA\n\n{text}")), (line, len(f"A\n\n{text}"))):
        read = results(WikiExtractor(), content.encode())
        assert sum(one.read for one in read) == num_read
        assert words_accounted(read) == words_of(text)


@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_adds_up_in_every_reader(text: str) -> None:
    readers: dict[str, Reader] = {
        text: TextFiles(),
        f"{text}\n\n{text}": TextBlocks(),
        f"= = = A = = = {text}": Headings(),
        f" = A = \n{text}": WikiText103(),
        json.dumps({"text": text}): JsonLines(),
        f'<doc id="1" title="A">\n{text}</doc>\n': WikiExtractor(),
    }
    for content, reader in readers.items():
        results(reader, content.encode())
        results(DecodedReader(reader), content.encode())
    list(checked([read_wikitext(text)]))


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=5))
@example(texts=[",\n"])
def test_the_characters_of_records_are_those_of_their_texts(texts: list[str]) -> None:
    table = io.StringIO()
    rows = csv.writer(table, quoting=csv.QUOTE_ALL)
    rows.writerows([("text", "n"), *((text, str(number)) for number, text in enumerate(texts))])
    columns = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), columns)
    records = [{"text": text, "n": 1} for text in texts]
    readers: list[tuple[Reader, bytes]] = [
        (JsonLines(), "\n".join(map(json.dumps, records)).encode()),
        (JsonValues(), json.dumps(records, indent=1).encode()),
        (DelimitedTable(), table.getvalue().encode()),
        (Parquet(), columns.getvalue()),
    ]
    for reader, content in readers:
        read = results(reader, content, block_bytes=30)
        assert [one.read for one in read] == [len(text) for text in texts]


@given(text=st.text(st.characters(codec="utf-8")))
def test_the_characters_of_lines_are_those_between_their_breaks(text: str) -> None:
    read = results(TextLines(), text.encode(), block_bytes=7)
    assert sum(one.read for one in read) == sum(len(line) for line in text.split("\n") if line.encode().strip())


def page(title: str, *texts: str) -> str:
    revisions = "".join(f"<revision><text>{html.escape(text)}</text></revision>" for text in texts)
    return f"<page><title>{title}</title><ns>0</ns>{revisions}</page>\n"


@_SEEDS
def test_each_word_of_a_dump_is_kept_or_left_out_for_a_reason(seed: int, length: int) -> None:
    texts = [write_document(_WIKITEXT_PIECES, seed + number, length=length // 3) for number in range(3)]
    dump = f"<mediawiki>{page('one', texts[0])}{page('two', texts[1], texts[2])}"
    read = results(WikiXml(), dump.encode())
    assert len(read) == 2 and sum(one.read for one in read) == sum(map(len, texts))
    assert words_accounted(read) == words_of("".join(texts))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("pattern", "reader", "least_share"),
    [
        ("novels/Ford_Soldier*", TextFiles(), 0.95),
        ("simplewiki/*", Headings(), 0.95),
        ("wikiextractor/AA/wiki_07", WikiExtractor(), 0.95),
        ("mediawiki/Wikipedia*.xml", WikiXml(), 0.5),
    ],
)
def test_real_files_add_up_and_most_of_them_is_kept(
    real_data: Path, pattern: str, reader: Reader, least_share: float
) -> None:
    (path,) = real_data.glob(pattern)
    read = results(reader, path.read_bytes(), block_bytes=300_000)
    kept = sum(len(one.text) for one in read if isinstance(one, Document))
    assert least_share < kept / sum(one.read for one in read) <= 1


def test_a_reader_that_hides_what_it_cuts_is_found_out() -> None:
    text = "word1end word2end"
    document = Document.account(text[:10], read=len(text), left_out=left_out_module.LeftOut())
    assert words_accounted([document]) != words_of(text)

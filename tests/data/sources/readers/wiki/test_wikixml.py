"""MediaWiki dumps: which pages are kept, and what remains of them."""

from __future__ import annotations

import bz2
import html
import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest

from bertd.data.sources.readers import document as document_module
from bertd.data.sources.readers.document import Document, SkipReason
from bertd.data.sources.readers.wiki import page_history
from bertd.data.sources.readers.wiki.wikixml import WikiXml
from tests.data.sources.readers.checked import readings, readings_of, results

_HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><siteinfo><namespaces>
<namespace key="6" case="first-letter">Datei</namespace><namespace key="14" case="x">Kategorie</namespace>
</namespaces></siteinfo>
"""


def page(text: str, *, namespace: int = 0, redirect: str = "") -> str:
    return (
        f"  <page>\n<title>T</title><ns>{namespace}</ns><id>1</id>{redirect}"
        f'<revision><text xml:space="preserve">{text}</text></revision>\n  </page>\n'
    )


_PAGES = [
    page("Ein Satz mit [[Datei:X.jpg|mini]] Bild."),
    page("Old text here.", redirect='<redirect title="Y" />'),
    page("#REDIRECT [[Y]]"),
    page("Somebody talks here.", namespace=1),
    page("X may refer to:\n* [[Y]]\n{{disambiguation}}"),
    page("X may refer to:\n* [[Y]]\n{{Human name disambig|x}}"),
    page("Broken < markup."),
    page("2 &lt; 3, says &quot;she&quot;.[[Kategorie:Z]]"),
    page(""),
]


@pytest.mark.parametrize("block_bytes", [100, 500, 1 << 20])
def test_articles_are_read_and_all_else_is_counted(block_bytes: int) -> None:
    cut_off = page("The dump ends in the mid")[:-30]
    assert readings(WikiXml(), (_HEAD + "".join(_PAGES) + cut_off).encode(), block_bytes=block_bytes) == [
        "Ein Satz mit Bild.",
        SkipReason.REDIRECT,
        SkipReason.REDIRECT,
        SkipReason.OTHER_NAMESPACE,
        SkipReason.DISAMBIGUATION,
        SkipReason.DISAMBIGUATION,
        SkipReason.DAMAGED,
        '2 < 3, says "she".',
        "",
        SkipReason.UNCLOSED,
    ]


def test_disambiguation_pages_are_kept_where_asked_for() -> None:
    content = (_HEAD + _PAGES[4] + "</mediawiki>").encode()
    assert readings(WikiXml(keep_disambiguation=True), content) == ["X may refer to:"]


def revision(text: str, *, time: str = "", model: str = "") -> str:
    stamp = f"<timestamp>{time}</timestamp>" if time else ""
    kind = f"<model>{model}</model>" if model else ""
    return f"<revision>{stamp}{kind}<text>{html.escape(text)}</text></revision>"


def dump(*revisions: str, head: str = "<mediawiki>", page_facts: str = "") -> bytes:
    return f"{head}<page><title>T</title><ns>0</ns>{page_facts}{''.join(revisions)}</page></mediawiki>".encode()


_OLD, _NEW = "This is the oldest text.", "This is the newest text."


@pytest.mark.parametrize(
    "revisions",
    [
        [revision(_OLD), revision(_NEW)],
        [revision(_OLD, time="2003-01-01T00:00:00Z"), revision(_NEW, time="2020-01-01T00:00:00Z")],
        [revision(_NEW, time="2020-01-01T00:00:00Z"), revision(_OLD, time="2003-01-01T00:00:00Z")],
        [revision("#REDIRECT [[Y]]"), revision("vandals were here"), revision(_NEW)],
    ],
)
def test_the_newest_revision_is_the_page(revisions: list[str]) -> None:
    (page_read,) = results(WikiXml(), dump(*revisions))
    assert isinstance(page_read, Document) and page_read.text == _NEW
    older = page_read.read - len(_NEW)
    assert page_read.left_out.characters == {SkipReason.OLDER_REVISION: older} and older > 0


@pytest.mark.parametrize("block_bytes", [50, 1000, 1 << 20])
@pytest.mark.parametrize("order", [1, -1])
def test_a_page_with_a_long_history_is_its_newest_revision_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int, order: int
) -> None:
    monkeypatch.setattr(page_history, "_LONG_PAGE_BYTES", 500)
    monkeypatch.setattr(document_module, "MAX_DOCUMENT_BYTES", 4000)
    texts = [f"Revision {number} of the page & more." for number in range(200)]
    revisions = [revision(text, time=f"2003-01-01T00:{number:05}Z") for number, text in enumerate(texts)]
    content = dump(*revisions[::order], page_facts="<id>1</id>") + dump(revision(_NEW), head="")
    history, after = results(WikiXml(), content, block_bytes=block_bytes)
    assert isinstance(history, Document) and history.text == texts[-1]
    assert history.read == sum(map(len, texts))
    assert history.left_out.characters == {SkipReason.OLDER_REVISION: sum(map(len, texts[:-1]))}
    assert isinstance(after, Document) and after.text == _NEW


def test_a_single_revision_that_is_too_long_is_counted_and_the_next_page_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page_history, "_LONG_PAGE_BYTES", 500)
    monkeypatch.setattr(document_module, "MAX_DOCUMENT_BYTES", 4000)
    content = dump(revision("Long text. " * 2000)) + dump(revision(_NEW), head="")
    blocks = list(WikiXml().blocks(io.BytesIO(content), block_bytes=300))
    assert sum(block.too_long for block in blocks) == 1
    assert sum(block.too_long_characters for block in blocks) > 11 * 2000
    assert readings_of(WikiXml(), blocks)[-1] == _NEW


def test_an_article_that_became_a_redirect_is_one() -> None:
    assert readings(WikiXml(), dump(revision(_OLD), revision("#REDIRECT [[Y]]"))) == [SkipReason.REDIRECT]
    marked = dump(revision("#REDIRECT [[Y]]"), revision(_NEW), page_facts='<redirect title="Y" />')
    assert readings(WikiXml(), marked) == [_NEW]


@pytest.mark.parametrize("model", ["wikibase-item", "Scribunto", "json", "css"])
def test_a_page_of_another_content_model_is_no_article(model: str) -> None:
    content = dump(revision('{"labels": {"en": "a label of words here."}}', model=model))
    assert readings(WikiXml(), content) == [SkipReason.OTHER_MODEL]
    assert readings(WikiXml(), dump(revision(_NEW, model="wikitext"))) == [_NEW]


def test_a_deleted_text_is_no_text_and_the_next_page_is_unharmed() -> None:
    deleted = "<page><title>D</title><ns>0</ns><revision><text deleted='deleted' /></revision></page>"
    empty = "<page><title>E</title><ns>0</ns><revision><text/></revision></page>"
    content = f"<mediawiki>{deleted}{empty}".encode() + dump(revision(_NEW), head="")
    assert readings(WikiXml(), content) == ["", "", _NEW]


_GERMAN = '<mediawiki xml:lang="de">'
_DUTCH_BY_NAME = "<mediawiki><siteinfo><dbname>nlwiki</dbname></siteinfo>"


@pytest.mark.parametrize(
    ("markup", "head", "is_one"),
    [
        ("{{Disambiguation needed|date=March 2020}}", "<mediawiki>", False),
        ("{{disambiguation}}", "<mediawiki>", True),
        ("{{Disambiguation|geo}}", _GERMAN, True),
        ("{{ human_name  disambiguation\n}}", "<mediawiki>", True),
        ("{{Template:Disambig}}", "<mediawiki>", True),
        ("{{disambiguation-like box|x}}", "<mediawiki>", False),
        ("{{no disambiguation}}", "<mediawiki>", False),
        ("{{about|x|other uses|X (disambiguation)}}", "<mediawiki>", False),
        ("[[X (disambiguation)]] {{dabble}}", "<mediawiki>", False),
        ("__DISAMBIG__", "<mediawiki>", True),
        ("{{Begriffsklärung}}", _GERMAN, True),
        ("{{Begriffsklärungshinweis}}", _GERMAN, False),
        ("{{消歧义}}", '<mediawiki xml:lang="zh">', True),
        ("{{dp}}", _DUTCH_BY_NAME, True),
        ("{{dp}}", _GERMAN, False),
        ("{{dp}}", "<mediawiki>", False),
        ("{{homonymie}}", "<mediawiki>", True),
        ("<nowiki>{{disambiguation}}</nowiki>", "<mediawiki>", False),
        ("<!-- {{disambiguation}} -->", "<mediawiki>", False),
    ],
)
def test_a_disambiguation_page_is_known_by_the_exact_name_of_its_template(markup: str, head: str, is_one: bool) -> None:
    (read,) = readings(WikiXml(), dump(revision(f"{_NEW} {markup}"), head=head))
    assert (read is SkipReason.DISAMBIGUATION) == is_one


def test_text_outside_of_all_pages_is_counted() -> None:
    assert readings(WikiXml(), b"<mediawiki>stray words</mediawiki>") == [SkipReason.OUTSIDE]


@dataclass(frozen=True)
class Golden:
    """The text of a real article: its first and last words, and the length between."""

    title: str
    begin: str
    end: str
    num_paragraphs: int
    num_words: int


GOLDEN = [
    Golden(
        "Anarchism",
        "Anarchism is a political philosophy that advocates self-governed",
        "lection of news and information about anarchism.",
        num_paragraphs=93,
        num_words=9668,
    ),
    Golden(
        "Autism",
        "Autism is a neurodevelopmental disorder characterized by impaire",
        "ieve that autism is simply another way of being.",
        num_paragraphs=91,
        num_words=7650,
    ),
    Golden(
        "Albedo",
        'Albedo or reflection coefficient, derived from Latin albedo "whi',
        "s; and the wavelength of the incoming radiation.",
        num_paragraphs=40,
        num_words=2585,
    ),
    Golden(
        "A",
        "A (named, plural As, A's, as, a's or aes) is the first letter an",
        "w size shoe, or a small cup size in a brassiere.",
        num_paragraphs=21,
        num_words=1161,
    ),
    Golden(
        "Alabama",
        "Alabama is a state located in the southeastern region of the Uni",
        "History of Alabama: The Nineteenth Century 1979.",
        num_paragraphs=160,
        num_words=11062,
    ),
    Golden(
        "Achilles",
        "In Greek mythology, Achilles (Ἀχιλλεύς, Akhilleus) was a Greek h",
        "altimore: Johns Hopkins University Press, 2009).",
        num_paragraphs=92,
        num_words=5590,
    ),
    Golden(
        "Abraham Lincoln",
        "Abraham Lincoln (February 12, 1809 – April 15, 1865) was the 16t",
        'o Hollywood", Smithsonian (2012) 43#7 pp. 46–53.',
        num_paragraphs=145,
        num_words=14914,
    ),
    Golden(
        "Aristotle",
        "Aristotle (Ἀριστοτέλης, Aristotélēs; 384–322 BC) was a Greek phi",
        "e University of Adelaide (primarily in English).",
        num_paragraphs=157,
        num_words=10982,
    ),
    Golden(
        "An American in Paris",
        "An American in Paris is a jazz-influenced symphonic poem by the ",
        "y, University of California Press, 2006. 431–42.",
        num_paragraphs=20,
        num_words=1833,
    ),
    Golden(
        "Academy Award for Best Production Design",
        "The Academy Awards are the oldest awards ceremony for achievemen",
        " is shown first, followed by the other nominees.",
        num_paragraphs=2,
        num_words=122,
    ),
]


@pytest.mark.realdata
def test_ten_real_articles_become_clean_prose(real_data: Path) -> None:
    (dump,) = (real_data / "mediawiki").glob("enwiki-latest-pages-articles1*")
    content = bz2.decompress(dump.read_bytes())
    titles = [title.decode() for title in re.findall(rb"<page>\s*<title>(.*?)</title>", content)]
    read = readings(WikiXml(), content)
    assert len(read) == len(titles) == content.count(b"<page>")
    articles = [(title, text) for title, text in zip(titles, read, strict=True) if isinstance(text, str)]
    seen = [
        Golden(title, text[:64], text[-48:], num_paragraphs=text.count("\n") + 1, num_words=len(text.split()))
        for title, text in articles[:10]
    ]
    assert seen == GOLDEN


@pytest.mark.realdata
@pytest.mark.parametrize("pattern", ["enwiki-latest-pages*", "Wikipedia-*", "enwiki-table-markup*"])
@pytest.mark.long
def test_no_markup_is_left_in_real_articles_and_every_page_is_accounted_for(real_data: Path, pattern: str) -> None:
    (dump,) = (real_data / "mediawiki").glob(pattern)
    content = dump.read_bytes()
    if dump.suffix == ".bz2":
        content = bz2.decompress(content)
    read = readings(WikiXml(), content, block_bytes=300_000)
    pages = list(ElementTree.fromstring(re.sub(rb' xmlns="[^"]*"', b"", content)).iter("page"))
    assert len(read) == len(pages)
    for one, reading in zip(pages, read, strict=True):
        assert (reading is SkipReason.OTHER_NAMESPACE) == (one.findtext("ns") != "0")
        if one.findtext("ns") == "0":
            assert (reading is SkipReason.REDIRECT) == (one.find("redirect") is not None)
    texts = [text for text in read if isinstance(text, str)]
    # A list of links has no prose.
    assert sum(map(bool, texts)) > 0.95 * len(texts) > 0
    for text in texts:
        assert not re.search(r"\[\[|\]\]|\{\{|\}\}|'''|</?ref|\[https?:|^=+.*=+$|\|thumb|&nbsp;", text, re.MULTILINE)

"""Wikitext to prose, one kind of markup at a time."""

from __future__ import annotations

import pytest

from bertd.data.sources.readers.document import Document
from bertd.data.sources.readers.wiki.wikitext import (
    DEFAULT_DROPPED_PREFIXES,
    has_too_many_open_brackets,
    is_redirect,
    read_wikitext,
)
from tests.data.sources.readers.checked import checked


def prose_of(wikitext: str, *, dropped_prefixes: frozenset[str] = DEFAULT_DROPPED_PREFIXES) -> str:
    (document,) = checked([read_wikitext(wikitext, dropped_prefixes=dropped_prefixes)])
    assert isinstance(document, Document) and document.read == len(wikitext)
    return document.text


_END = " and so the sentence ends."


@pytest.mark.parametrize(
    ("markup", "prose"),
    [
        ("'''Bold''', ''slanted'' and '''''both'''''", "Bold, slanted and both"),
        ("unbalanced ''' quotes '' here", "unbalanced quotes here"),
        (
            "[[Link]], [[Target|words]], [[:Category:Shown]] and [[Land#Part|part]]",
            "Link, words, Category:Shown and part",
        ),
        ("[http://example.org words] [http://example.org] http://example.org/x?y=1 gone", "words gone"),
        ('a<ref>Book, p. 3.</ref> b<ref name=x/> c<ref name="y">[[Z]] {{cite|1}}</ref> d', "a b c d"),
        ("a<!-- hidden\n\nlines --> b", "a b"),
        (
            "[[File:X.jpg|thumb|left|A ''caption'' with a [[link]].]]text [[Image:y.png]][[Category:Zs]][[de:Wort]]",
            "text",
        ),
        ("{{Infobox|a=[[b]]|c={{d|e}}}}text {{cn|date=May}}here", "text here"),
        (
            "{{convert|5|to|10|km|mi}} long, {{lang|fr|mot juste}}, 3{{ndash}}4, {{nowrap|x y}}",
            "5 to 10 km long, mot juste, 3–4, x y",
        ),
        ("born ({{IPA|x}}; {{lang-el|Ἀ}}) and ( , ) again", "born (Ἀ) and again"),
        ("&nbsp;half &ndash; past&#32;two &amp; three", "half – past two & three"),
        ("x<br/>y", "x y"),
        ('<small>fine</small> print, H<sub>2</sub>O, <span style="x">span</span>', "fine print, H2O, span"),
        ("before <math>x^2</math> after <gallery>\nA.jpg|b\n</gallery> end", "before after end"),
        ("__NOTOC__text__TOC__", "text"),
        ("wrapped\nover three\nlines", "wrapped over three lines"),
        ("write <nowiki><ref></nowiki> before it, <ref>x</ref> there", "write <ref> before it, there"),
        ("<nowiki><!--</nowiki> opens one", "<!-- opens one"),
        ("<nowiki>''[[x]]'' {{y}} http://a.b __TOC__</nowiki> stays", "''[[x]]'' {{y}} http://a.b __TOC__ stays"),
        ("<syntaxhighlight><ref></syntaxhighlight>code", "code"),
        ("<math><!--</math>formula", "formula"),
        ("<pre><nowiki></pre>example", "example"),
        ("<ref>a <nowiki></ref></nowiki>tag", "tag"),
        ("<ref name='x'>open", "open"),
        ("<NoWiki>[[</NoWiki> <REF>y</REF >upper", "[[ upper"),
        ("&lt;br&gt; breaks, &amp;lt; is &lt;, &#91;[x]&#93; links", "<br> breaks, &lt; is <, [[x]] links"),
        ("use <stdio.h> or <vector>", "use <stdio.h> or <vector>"),
        ("<foo a=1>unknown [[a|b]]</foo> tags", "<foo a=1>unknown b</foo> tags"),
        ("[[檔案:x.jpg|thumb|title]]file [[Star Trek: Voyager|Voyager]]", "file Voyager"),
        ("名（{{lang|en}}，）は、、こう", "名は、こう"),
        ("__БЕЗ_ОГЛ__text __init__", "text __init__"),
    ],
)
def test_markup_becomes_words(markup: str, prose: str) -> None:
    expected = prose + _END
    got = prose_of(markup + _END)
    assert got.replace("\n", " ") == expected


def test_headings_tables_and_lists_of_links_are_left_out() -> None:
    page = """Opening paragraph, with words.

== Heading ==
{| class="wikitable"
! Year !! Name
|-
| 1999 || [[Someone]] was here.
|}
Second paragraph, after a table.
* [[Link]]
* This item is a whole sentence of its own.
# short item.
: An indented reply that is a sentence, too.
=== Another one===
|}
| a row of a broken table.
Third paragraph, behind it."""
    assert prose_of(page).split("\n") == [
        "Opening paragraph, with words.",
        "Second paragraph, after a table.",
        "This item is a whole sentence of its own.",
        "An indented reply that is a sentence, too.",
        "Third paragraph, behind it.",
    ]


def test_the_prefixes_of_another_language_are_dropped_where_they_are_known() -> None:
    page = "[[Datei:X.jpg|mini|Bild.]]Ein Satz, der bleibt.[[Kategorie:Y]]"
    assert prose_of(page, dropped_prefixes=frozenset({"datei", "kategorie"})) == "Ein Satz, der bleibt."


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        (
            "東京都は日本の首都であり、\n人口が最も多い都市である。\n* [[大阪]]\n* [[京都]]",
            ["東京都は日本の首都であり、人口が最も多い都市である。"],
        ),
        ("กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุด\n* [[ลพบุรี]]", ["กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุด"]),
        ("दिल्ली शहर है।\n{| class=x\n| तालिका\n|}\n* [[मुंबई]]", ["दिल्ली शहर है।"]),
        ("هل هي عاصمة؟\n== مراجع ==\n* [[مصر]]", ["هل هي عاصمة؟"]),
        ("Τι είναι αυτό;\n[[Αρχείο:x.jpg|μικρογραφία|x]]", ["Τι είναι αυτό;"]),
        ("አዲስ አበባ ናት።\n\n== ማጣቀሻ ==", ["አዲስ አበባ ናት።"]),
    ],
)
def test_the_prose_of_a_page_is_kept_in_any_script(page: str, lines: list[str]) -> None:
    assert prose_of(page).split("\n") == lines


@pytest.mark.parametrize("page", ["{{", "[[a|b", "{|", "<ref>", "'''", "{{{{{{{{", "[[" * 100, "{{a|" * 100])
def test_broken_markup_is_no_error(page: str) -> None:
    assert isinstance(prose_of(page), str)


@pytest.mark.parametrize(
    ("page", "expected"),
    [("#REDIRECT [[X]]", True), ("#weiterleitung [[X]]", True), ("\n#redirect: [[X]]", True), ("# [[X]] item", False)]
    + [
        (f"#{word} [[X]]", True)
        for word in ("पुनर्प्रेषित", "重定向", "تحويل", "перенаправление", "เปลี่ยนทาง", "リダイレクト")
    ],
)
def test_a_redirect_is_told_in_any_language(page: str, expected: bool) -> None:
    assert is_redirect(page) is expected


@pytest.mark.parametrize("page", ["{{a|" * 3000, "[[a|" * 3000])
def test_a_page_that_would_keep_the_parser_busy_for_minutes_is_given_up(page: str) -> None:
    assert has_too_many_open_brackets(page)
    assert not has_too_many_open_brackets(page[:300] + "}}]]" * 100)

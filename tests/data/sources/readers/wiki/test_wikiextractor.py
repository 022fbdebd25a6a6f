"""WikiExtractor's two forms."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from bertd.data.sources.readers.document import SkipReason
from bertd.data.sources.readers.wiki.wikiextractor import WikiExtractor
from tests.data.sources.readers.checked import readings

_DOCS = """<doc id="1" url="?curid=1" title="A &amp; B">
A &amp; B

First paragraph, 2 &lt; 3.&lt;br&gt;
Second paragraph.

</doc>
<doc id="2" url="?curid=2" title="Redirect">
Redirect


</doc>
<doc id="3" url="?curid=3" title="Lost">
Lost

It never ends.
<doc id="4" url="?curid=4" title="Found">
Found

It ends.
</doc>
<doc id="5" url="?curid=5" title="Cut">
Cut

The file ends
"""


@pytest.mark.parametrize("block_bytes", [11, 64, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_titles_and_redirects_are_left_out_and_unclosed_documents_counted(block_bytes: int, newline: str) -> None:
    assert readings(WikiExtractor(), _DOCS.replace("\n", newline).encode(), block_bytes=block_bytes) == [
        "First paragraph, 2 < 3. \nSecond paragraph.",
        SkipReason.REDIRECT,
        SkipReason.UNCLOSED,
        "It ends.",
        SkipReason.UNCLOSED,
    ]


def test_the_json_form_gives_the_same_text() -> None:
    content = (
        b'{"id": "1", "url": "u", "title": "A", "text": "First paragraph, 2 &lt; 3.\\nSecond."}\n'
        b'{"id": "2", "url": "u", "title": "Redirect", "text": ""}\n'
    )
    assert readings(WikiExtractor(), content, block_bytes=40) == [
        "First paragraph, 2 < 3.\nSecond.",
        SkipReason.REDIRECT,
    ]


@pytest.mark.parametrize("form", ["element", "line"])
@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [
        ("Lamp", "Lamp\n\nThe lamp burns.", "The lamp burns."),
        ("Lamp", "The lamp burns.\nLamp", "The lamp burns.\nLamp"),
        ("R", "R\n\n", SkipReason.REDIRECT),
        ("A & B", "A &amp; B\n\nBoth.", "Both."),
        ('The "X"', "The &quot;X&quot;\n\nIt is.", "It is."),
        ("L", 'L\n\nThe <a href="Old%20mill">old mill</a>s stand.', "The old mills stand."),
        ("L", 'L\n\nThe &lt;a href="Old%20mill"&gt;old mill&lt;/a&gt; stands.', "The old mill stands."),
        ("L", "L\n\nH&lt;sub&gt;2&lt;/sub&gt;O&lt;br/&gt;is &lt;b&gt;wet&lt;/b&gt;.", "H2O is wet."),
        ("L", "L\n\n<p>One.</p><ul><li>Two.</li></ul>", "One.   Two."),
        ("L", "L\n\nUse &lt;stdio.h&gt; if a < b.", "Use <stdio.h> if a < b."),
        ("L", "L\n\nSection::::History.\nOld.\nBULLET::::- One item.\nBULLET::::2. Two.", "Old.\nOne item.\nTwo."),
    ],
)
def test_every_version_of_the_tool_is_read_alike(form: str, title: str, text: str, expected: object) -> None:
    attribute = html.escape(title, quote=False)
    element = f'<doc id="1" url="u" title="{attribute}">\n{text}\n\n</doc>\n'
    line = json.dumps({"id": "1", "url": "u", "title": title, "text": text}) + "\n"
    (read,) = readings(WikiExtractor(), (element if form == "element" else line).encode())
    words = " ".join(read.split()) if isinstance(read, str) else read
    assert words == (" ".join(expected.split()) if isinstance(expected, str) else expected)


def test_text_outside_of_all_elements_is_counted() -> None:
    content = b'stray words\n<doc id="1" url="u" title="A">\nA\n\nText.\n</doc>\nmore stray words\n'
    assert readings(WikiExtractor(), content) == ["Text.", SkipReason.OUTSIDE, SkipReason.OUTSIDE]


@pytest.mark.realdata
def test_a_real_file_has_the_articles_that_a_count_of_its_own_finds(real_data: Path) -> None:
    content = (real_data / "wikiextractor" / "AA" / "wiki_11").read_text()
    bodies = re.findall(r"^<doc [^\n]*>\n[^\n]*\n\n(.*?)</doc>$", content, re.MULTILINE | re.DOTALL)
    read = readings(WikiExtractor(), content.encode(), block_bytes=100_000)
    assert len(read) == content.count("<doc id=") == len(bodies)
    assert read.count(SkipReason.REDIRECT) == sum(not body.strip() for body in bodies)

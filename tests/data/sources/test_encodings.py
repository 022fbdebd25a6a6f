"""The encoding of a file: decided once, by what the file shows, and never believed against it."""

from __future__ import annotations

import io

import pytest

from bertd.data.sources.encoding_hints import describe_not_text, suggest_encoding
from bertd.data.sources.encodings import (
    HEAD_BYTES,
    HINT_BYTES,
    detect_encoding,
    has_controls,
    is_text_encoding,
    open_utf8,
)

RUSSIAN = "Привет, мир. Старая мельница стоит у реки, и вода течёт медленно. " * 60
GERMAN = (
    "Über den Fluss führt eine schöne alte Brücke; die Mühle dahinter gehört den Müllers. Früher mahlte man dort das "
    "Korn für alle Dörfer der Umgebung, und die Kinder spielten während der Ernte auf den Säcken. Heute wächst Gras "
    "über den Rädern, doch im Frühjahr, wenn das Wasser höher steht, drehen sie sich noch. "
) * 20
JAPANESE = "東京都は日本の首都であり、人口が最も多い都市である。古い水車小屋が川のそばに立っている。" * 60
HINDI = "पुरानी चक्की नदी के किनारे खड़ी है और पानी धीरे बहता है। " * 60
CHINESE = "东京都是日本的首都，也是人口最多的城市。老磨坊矗立在河边，水流得很慢。" * 60


def read(content: bytes, named: str | None = None) -> str | None:
    """The text of a file, or None if it is taken for none."""
    stream, _ = open_utf8(io.BytesIO(content), named=named, name="a.txt")
    return None if stream is None else stream.read().decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("text", [RUSSIAN, GERMAN, JAPANESE, HINDI, "", "x", "\n", "a\r\n\f\x1a"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_that_says_what_it_is_needs_no_word(text: str, encoding: str) -> None:
    for named in (None, "windows-1251", "utf-16-le"):
        content = text.encode(encoding)
        if not (named and content.isascii() and encoding == "utf-8"):
            assert read(content, named) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", [RUSSIAN, HINDI, JAPANESE, CHINESE, "The old mill stands. " * 9, "שלום עולם. " * 9])
def test_without_its_mark_a_wide_encoding_is_no_text_until_it_is_named(text: str, encoding: str) -> None:
    content = text.encode(encoding)
    assert (
        read(content) is None or "\udcff" in str(read(content)) or not content.decode("utf-8", "replace").isprintable()
    )
    assert read(content, encoding) == text
    if not detect_encoding(content).is_text:
        assert suggest_encoding(content) == encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "iso8859-5"),
        (GERMAN, "windows-1252"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (CHINESE, "gb18030"),
    ],
)
def test_an_older_encoding_is_read_when_it_is_named_and_suggested_when_it_is_not(text: str, encoding: str) -> None:
    content = text.encode(encoding)
    assert read(content, encoding) == text
    suggested = suggest_encoding(content)
    assert suggested is not None and content.decode(suggested) == text
    # A file of the same folder that is UTF-8 is read as that.
    assert read(text.encode(), encoding) == text


@pytest.mark.parametrize("named", [None, "windows-1252", "utf-16-le", "koi8-r"])
@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"\x7fELF\x02\x01\x01" + bytes(999), b"word \x1b$B" * 99])
def test_what_is_no_text_is_none_in_any_encoding(content: bytes, named: str | None) -> None:
    assert read(content, named) is None


def test_a_stray_control_character_does_not_cost_a_book() -> None:
    text = "The old mill stands.\n" * 500 + "\x00\x08"
    assert read(text.encode()) == text


def test_utf_16_is_one_text_far_beyond_the_first_bytes() -> None:
    text = RUSSIAN * 40
    assert read(text.encode("utf-16")) == text


def test_what_a_named_encoding_lacks_is_found_by_the_reader() -> None:
    text = str(read(b"Ein Satz " * 200 + b"\x81 und weiter", "windows-1252"))
    assert text.endswith("Ein Satz \udcff und weiter")
    assert str(read("ab ".encode("utf-16-be") * 900 + b"\x00", "utf-16-be")).endswith("ab \udcff")


def test_latin_1_is_what_browsers_take_it_for() -> None:
    assert read("„Zitat“ – und ".encode("windows-1252") * 9, "latin-1") == "„Zitat“ – und " * 9


def test_only_encodings_of_text_have_names() -> None:
    assert is_text_encoding("windows-1251") and is_text_encoding("shift_jis")
    assert not any(map(is_text_encoding, ("rot13", "base64", "nothing", "", "\x00")))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("num_before", [0, HEAD_BYTES - 2, HEAD_BYTES - 1, HEAD_BYTES])
def test_bare_carriage_returns_end_lines_wherever_the_file_is_cut(encoding: str, num_before: int) -> None:
    before = ("a " * num_before)[:num_before]
    text = before + " b.\rc.\r\rd.\r\ne.\r\r\nf.\r"
    stream, _ = open_utf8(io.BytesIO(text.encode(encoding)), named=None, name="a.txt")
    assert stream is not None
    assert stream.read().decode() == before + " b.\nc.\n\nd.\r\ne.\r\r\nf.\n"


@pytest.mark.parametrize(
    "text",
    [
        "“It’s a café,” she said – and naïve … people laughed.",
        "It’s a mill.",
        "Er möchte für Müller große Äpfel kaufen.",
        "Ça coûte 5 €.",
        "¿Dónde está la señora Ñández?",
        "Price: 5 €",
    ],
)
def test_a_short_text_of_windows_is_suggested_as_that(text: str) -> None:
    content = text.encode("windows-1252")
    suggested = suggest_encoding(content)
    assert suggested is not None and content.decode(suggested) == text


@pytest.mark.parametrize("other", ["mac-roman", "cp437", "koi8-r", "windows-1251", "shift_jis", "gb18030"])
def test_a_short_text_of_another_encoding_is_not_called_one_of_windows(other: str) -> None:
    for text in ("Er möchte für Müller große Äpfel kaufen.", "Привет, мир.", "古い水車小屋が川のそばに立っている。"):
        content = text.encode(other, "ignore")
        if not content.isascii() and not has_controls(content):
            assert suggest_encoding(content) != "windows-1252"


@pytest.mark.parametrize("num_before", [0, HEAD_BYTES - 2, 3 * HEAD_BYTES])
def test_a_place_that_is_not_utf_8_is_shown_once_wherever_it_is(num_before: int) -> None:
    shown: list[bytes] = []
    content = b"a" * num_before + "é ".encode() + b"\xe9 " * 9 + b"b" * 2 * HEAD_BYTES + b"\xe9"
    stream, _ = open_utf8(io.BytesIO(content), named=None, name="a.txt", on_invalid=shown.append)
    assert stream is not None and not shown
    assert stream.read() == content
    (around,) = shown
    assert b"\xe9 \xe9" in around[: HINT_BYTES // 2 + 4]
    stream, _ = open_utf8(io.BytesIO("é".encode() * HEAD_BYTES), named=None, name="a.txt", on_invalid=shown.append)
    assert stream is not None and stream.read() and len(shown) == 1


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (b'{"text": "The mill stands."}\0' * 20, "tr '\\000' '\\n'"),
        (b'{"text": "The mill stands."}\n' * 20 + bytes(999), "tr -d '\\000'"),
        (b"M\xc3\xbchle\0" * 50, "tr '\\000' '\\n'"),
    ],
)
def test_nul_characters_in_a_text_are_named_and_no_encoding_is_asked_for(content: bytes, fix: str) -> None:
    said = describe_not_text(content)
    assert said.startswith("text with NUL characters in it") and f"take them out: {fix} < FILE > NEW" in said
    assert "encoding" not in said and "UTF-16" not in said
    assert "--encoding" in describe_not_text(bytes(range(256)))
    assert "give --encoding utf-16-le" in describe_not_text(RUSSIAN.encode("utf-16-le"))

"""Files that hold something else than text, or more, are named once, with what to do."""

from __future__ import annotations

import io

import pytest

from bertd.data.sources.readers.decoded import DecodedReader
from bertd.data.sources.readers.document import Reader
from bertd.data.sources.readers.left_out import SkipReason
from bertd.data.sources.readers.lines import TextLines
from bertd.data.sources.readers.other_formats import describe_tagged
from bertd.data.sources.readers.text import TextFiles
from tests.data.conftest import made_up_text
from tests.data.sources.readers.checked import readings_of

_PROSE = "\n".join(made_up_text(number, sentences=4) for number in range(20))


@pytest.mark.parametrize(
    ("opening", "what"),
    [
        ("WARC/1.0\r\nWARC-Type: conversion\r\n\r\n", "a WARC or WET file, whose headers"),
        ("From joe@x.org Sat Jan  3 01:05:34 2026\nSubject: mill\n\n", "a mailbox, whose headers"),
        ("Return-Path: <joe@x.org>\r\nTo: a@b.c,\r\n d@e.f\r\nSubject: mill\r\n\r\n", "an e-mail, whose headers"),
        ("[01/02/2024, 10:00:01] Alice: Are you there?\n", "a chat or a log, whose times and names"),
        ("1/2/24, 10:00\u202fPM - Alice: Are you there?\n", "a chat or a log, whose times and names"),
        ("\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n", "subtitles, whose times"),
        ("1\n0:00:01.00 --> 0:00:02.50\n", "subtitles, whose times"),
        ("WEBVTT\n\n00:01.000 --> 00:02.500\n", "subtitles, whose times"),
        ("\n<!doctype html>\n<html><body>", "HTML, whose tags"),
        ("<p>The <b>mill</b> stands.</p>\n" * 10, "full of HTML, whose tags"),
        ('<?xml version="1.0"?>\n<rss><item>', "XML, whose tags"),
        ('<TEI xmlns="http://www.tei-c.org/ns/1.0"><text>', "XML, whose tags"),
        ("% a paper\n\\documentclass{article}\n", "LaTeX, whose commands"),
        ("---\ntitle: The mill\ntags: [a]\n---\n\n", "a page with front matter, whose fields"),
        ("# sent_id = 1\n# text = Stop\n1\tStop\tstop\tVERB\tVB\t_\t0\troot\t_\t_\n", "CoNLL, whose columns"),
        ("-DOCSTART- -X- -X- O\n\n", "CoNLL, whose columns"),
        ("__label__good The mill stands.\n", "fastText's format, whose labels"),
        ('# a comment\nmsgid "mill"\nmsgstr "Mühle"\n', "a file of translations, whose keys"),
        ("From: <Saved by Blink>\nSnapshot-Content-Location: u\nSubject: mill\nDate: x\n", "an e-mail, whose headers"),
        ("From the mill of 1926\nthe river runs.\n", None),
        ("From: the mill\nit was a long way.\n", None),
        ("1\nThe mill stands.\n", None),
        ("---\nThe mill stands.\n", None),
        ("<s> The mill stands. </s> a < b\n", None),
        ('<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">', None),
        ('<?xml version="1.0"?>\n<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">', None),
        ('<doc id="1" url="u" title="T">\n' + "<a href=u>mill</a>" * 20, None),
        ("1 2 3\n2024-01-02 was a day.\n", None),
    ],
)
@pytest.mark.parametrize("reader", [TextFiles(), TextLines()], ids=["text", "lines"])
def test_text_that_holds_more_than_its_words_is_named(
    reader: Reader, opening: str, what: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    decoded = DecodedReader(reader)
    readings_of(decoded, decoded.blocks(io.BytesIO((opening + _PROSE).encode()), block_bytes=1 << 20))
    said = capsys.readouterr().err
    message = f"is {what} are read as text; extract its text first"
    assert said.count(message) == 1 if what else not said


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("chapter.tex", "LaTeX, whose commands"),
        ("a.yaml.gz", "YAML, whose keys"),
        ("a.YML", "YAML, whose keys"),
        ("a.txt", None),
        ("a.tex.txt", None),
    ],
)
def test_a_file_whose_content_does_not_show_it_is_named_by_its_name(name: str, what: str | None) -> None:
    assert describe_tagged(name, b"\\chapter{The mill} of `- a: b`") == what
    # WARC's headers in a file of that name are WARC's headers.
    assert describe_tagged(name, b"WARC/1.0\n") == "a WARC or WET file, whose headers"


def test_a_pointer_of_git_lfs_says_how_to_fetch_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    decoded = DecodedReader(TextFiles())
    content = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    assert readings_of(decoded, decoded.blocks(io.BytesIO(content), block_bytes=100)) == [SkipReason.OTHER_FORMAT]
    said = capsys.readouterr().err
    assert "is a pointer of Git LFS, and is left out; fetch the file itself with git lfs pull" in said

"""The kinds of sources, as the command line names them."""

from __future__ import annotations

from enum import StrEnum


class SourceKind(StrEnum):
    """How a source's files are read."""

    TEXT = "text"
    TEXT_BLOCKS = "text-blocks"
    LINES = "lines"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    HEADINGS = "headings"
    WIKITEXT103 = "wikitext103"
    WIKIEXTRACTOR = "wikiextractor"
    WIKI_XML = "wiki-xml"
    PARQUET = "parquet"
    PARQUET_SENTENCES = "parquet-sentences"
    ARROW = "arrow"
    ARROW_SENTENCES = "arrow-sentences"
    WARC = "warc"
    HF = "hf"
    HF_SENTENCES = "hf-sentences"

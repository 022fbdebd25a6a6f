"""Corpora to a data set: finds the sources, has them tokenized, and puts the parts together.

    sources -> blocks -> parts (workers: read, filter, split into sentences, tokenize) -> assembly -> data set

The same sources and options give the same bytes, for any number of processes and after any interruption.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer

from bertd.data.assembly import Decisions, WrittenSplits, decide, write_splits
from bertd.data.feed import BLOCK_BYTES, PART_BYTES, Feed, WorkerSetup, make_parts
from bertd.data.manifest import (
    FORMAT,
    MANIFEST,
    FileFacts,
    Filters,
    Manifest,
    SourceCounts,
    SplitCounts,
    TokenizerFacts,
)
from bertd.data.parts import PartFacts
from bertd.data.progress import reading_progress
from bertd.data.shards import TOKENIZER, file_sha256, tokenizer_fingerprint
from bertd.data.sources import ReadingOptions, Source, find_sources, reader_of
from bertd.data.wordpiece import casing_of, open_tokenizer, tokenizer_files, vocabulary_of
from bertd.data.workspace import Workspace, open_workspace
from bertd.errors import CorpusError
from bertd.run.durable import write_whole
from bertd.run.paths import default_data_dir


class Options(BaseModel):
    """What a data set is made from, besides the sources."""

    model_config = ConfigDict(frozen=True)

    vocab: str
    reading: ReadingOptions = ReadingOptions()
    language: str = "en"
    validation_share: float = 0.005
    filters: Filters = Filters()


class _Tally:
    """Counts of the parts, by source."""

    def __init__(self) -> None:
        self.read: Counter[int] = Counter()
        self.skipped: dict[int, Counter[str]] = {}

    def add(self, facts: PartFacts) -> None:
        self.read.update(facts.read)
        self.merge({source: Counter(counts) for source, counts in facts.skipped.items()})

    def merge(self, skipped: dict[int, Counter[str]]) -> None:
        for source, counts in skipped.items():
            self.skipped.setdefault(source, Counter()).update(counts)


def prepare(names: list[str], *, out: Path, options: Options, processes: int, replace: bool = False) -> Manifest:
    """Make a data set.

    Args:
        names: sources, `kind:path`.
        out: folder that the data set becomes.
        processes: workers; 1 works in this process.
        replace: whether a data set that is already there gives way.

    Raises:
        CorpusError: a source cannot be read, or no text is left.
        ShardError: `out` exists, or is being made by another process.
    """
    sources = find_sources(names)
    tokenizer = open_tokenizer(options.vocab)
    with open_workspace(out, replace=replace) as workspace:
        if workspace.begin(_plan(sources, options=options, tokenizer=tokenizer)):
            print(f"{out}: going on with what an earlier attempt has done", file=sys.stderr)
        readers = {i: reader_of(source, options.reading) for i, source in enumerate(sources)}
        feed = Feed(sources, folder=workspace.parts, readers=readers)
        setup = WorkerSetup(
            folder=workspace.parts,
            readers=readers,
            tokenizer_json=tokenizer.to_str(),
            language=options.language,
            filters=options.filters,
        )
        tally = _read(feed, setup, processes=processes)
        try:
            decisions = decide(
                workspace.parts,
                num_parts=feed.num_parts,
                filters=options.filters,
                validation_share=options.validation_share,
            )
        except CorpusError as error:
            tally_text = reasons(sum(tally.skipped.values(), Counter()))
            raise CorpusError(f"{', '.join(names)}: {error}{tally_text}") from error
        tally.merge(decisions.skipped)
        splits = write_splits(workspace.whole, parts=workspace.parts, num_parts=feed.num_parts, decisions=decisions)
        counts = [_source_counts(i, source, tally=tally, decisions=decisions) for i, source in enumerate(sources)]
        manifest = _finish(workspace, tokenizer=tokenizer, options=options, splits=splits, sources=counts)
        workspace.publish()
    return manifest


def _plan(sources: list[Source], *, options: Options, tokenizer: Tokenizer) -> str:
    """Everything that decides the bytes: an attempt with another plan starts over."""
    files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for source in sources for file in source.files]
    return json.dumps(
        {
            "format": FORMAT,
            "part_bytes": [PART_BYTES, BLOCK_BYTES],
            "options": options.model_dump(),
            "sources": [(source.kind, source.path, sorted(source.members or ())) for source in sources],
            "files": files,
            "tokenizer": tokenizer.to_str(),
        }
    )


def _read(feed: Feed, setup: WorkerSetup, *, processes: int) -> _Tally:
    tally = _Tally()
    with reading_progress(bytes_total=feed.bytes_total) as progress:

        def on_done(facts: PartFacts) -> None:
            tally.add(facts)
            progress.update(documents=sum(facts.read.values()), bytes_read=feed.bytes_read)

        make_parts(feed, setup, processes=processes, on_done=on_done)
    return tally


def _source_counts(number: int, source: Source, *, tally: _Tally, decisions: Decisions) -> SourceCounts:
    return SourceCounts(
        kind=source.kind,
        path=source.path,
        files=len(source.files),
        bytes=source.num_bytes,
        read=tally.read[number],
        skipped=dict(sorted(tally.skipped.get(number, Counter()).items())),
        kept=decisions.kept.get(number, SplitCounts()),
    )


def _finish(
    workspace: Workspace,
    *,
    tokenizer: Tokenizer,
    options: Options,
    splits: WrittenSplits,
    sources: list[SourceCounts],
) -> Manifest:
    """Write the tokenizer and, last of all, the manifest."""
    vocabulary = vocabulary_of(tokenizer, place=options.vocab)
    casing = casing_of(tokenizer)
    folder = workspace.whole / TOKENIZER
    folder.mkdir()
    for name, content in tokenizer_files(tokenizer, place=options.vocab).items():
        write_whole(folder / name, content)
    paths = sorted(folder.iterdir())
    files = {
        f"{TOKENIZER}/{path.name}": FileFacts(size=path.stat().st_size, sha256=file_sha256(path)) for path in paths
    }
    manifest = Manifest(
        vocab_size=vocabulary.size,
        tokenizer=TokenizerFacts(
            fingerprint=tokenizer_fingerprint(paths),
            lowercase=casing.lowercase,
            strip_accents=casing.strip_accents,
            pad=vocabulary.pad,
            unk=vocabulary.unk,
            cls=vocabulary.cls,
            sep=vocabulary.sep,
            mask=vocabulary.mask,
        ),
        splits=splits.counts,
        validation_share=options.validation_share,
        language=options.language,
        sources=sources,
        filters=options.filters,
        files=splits.files | files,
    )
    write_whole(workspace.whole / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return manifest


def reasons(skipped: Counter[str]) -> str:
    counts = ", ".join(f"{times} {reason}" for reason, times in sorted(skipped.items()))
    return f" (left out: {counts})" if counts else ""


def place_of(name: str) -> Path:
    """A path as it is; a bare name below the folder where data sets are looked up by name."""
    return Path(name).expanduser().absolute() if "/" in name else default_data_dir() / name


def find_dataset(name: str) -> Path:
    """Where a data set lies: the folder of that name here, or the one among those that are looked up by name."""
    here = Path(name).expanduser().absolute()
    return here if here.is_dir() else place_of(name)

"""Make a data set from corpora: find the sources, tokenize them in workers, assemble the parts.

    sources -> blocks -> parts (workers: read, filter, split into sentences, tokenize) -> assembly -> data set

The same sources and options give the same bytes, for any number of processes and after any interruption.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer

from bertd.data.dataset.left_out_report import LEFT_OUT_FILE, LeftOutReport
from bertd.data.dataset.shards import TOKENIZER_FOLDER, file_sha256, tokenizer_fingerprint
from bertd.data.dataset.text_quality import QUALITY_FILE, Quality
from bertd.data.prepare.left_out_counts import count_left_out, explain_nothing_kept
from bertd.data.prepare.parts.counts import PartTally
from bertd.data.prepare.parts.part_file import PARTS_FORMAT, PartFacts
from bertd.data.prepare.parts.ray_workers import RayWorkers
from bertd.data.prepare.parts.task_planner import BLOCK_BYTES, PART_BYTES, TaskPlanner
from bertd.data.prepare.parts.worker_pool import (
    ArrayTask,
    InProcess,
    LocalProcesses,
    PartWorkers,
    WorkerSetup,
    make_parts,
)
from bertd.data.prepare.progress import reading_progress
from bertd.data.prepare.selection.document_decisions import decide_documents
from bertd.data.prepare.skip_reasons import format_encoding_remedy, format_field_remedy, format_skip_reasons
from bertd.data.prepare.splits.source_tally import SourceTally
from bertd.data.prepare.splits.split_writer import WrittenSplits, write_splits
from bertd.data.prepare.staging_dir import Workspace, open_workspace
from bertd.data.prepare.stock_check import checking_stock_ids
from bertd.data.sources.language_identifier import LanguageIdentifier
from bertd.data.sources.spec import ReadingOptions, Source, find_sources, make_reader, mixed_kinds_lines
from bertd.errors import CorpusError
from bertd.program import print_note
from bertd.run.atomic_files import SHARED_MODE, atomic_write
from bertd.run.dataset_manifest import (
    DATASET_FORMAT,
    MANIFEST_FILE,
    FileFacts,
    Filters,
    Manifest,
    SourceCounts,
    SplitCounts,
    TokenizerFacts,
)
from bertd.tokenizer.save import tokenizer_files
from bertd.tokenizer.tokenizer import open_tokenizer, vocabulary_from_tokenizer
from bertd.tokenizer.wordpiece import read_casing


class PrepareOptions(BaseModel):
    """Everything a data set is made from, besides the sources."""

    model_config = ConfigDict(frozen=True)

    vocab: str
    reading: ReadingOptions = ReadingOptions()
    language: str = "en"
    validation_share: float = 0.005
    filters: Filters = Filters()


def prepare(
    names: list[str],
    *,
    out: Path,
    options: PrepareOptions,
    processes: int,
    on: str | None = None,
    replace: bool = False,
    checks_tokenizer: bool = False,
    report: Callable[[float], None] = lambda share: None,
) -> Manifest:
    """Make a data set.

    Args:
        names: sources, `kind:path`.
        out: folder that the data set becomes.
        processes: worker processes; 1 does the work in this process.
        on: a Ray cluster, `ray` or `ray://HEAD:10001`, which makes the parts; None for this machine. Then `processes`
            are the workers there, 0 for one on each processor.
        replace: replace a data set that already exists.
        checks_tokenizer: compare the ids with those of stock transformers, in a process of its own; takes seconds.
        report: is called with the share of the sources' bytes that is read, 0..1, where their size is known.

    Raises:
        CorpusError: a source cannot be read, or no text is left.
        ShardError: `out` exists, or is being made by another process.
        VocabularyError: the vocabulary cannot be used.
    """
    sources = find_sources(names, encoding=options.reading.encoding, note=print_note)
    for line in mixed_kinds_lines(sources):
        print_note(line)
    tokenizer = open_tokenizer(options.vocab)
    if options.filters.only_language is not None:
        # Not in a worker first, where an error comes late.
        LanguageIdentifier(options.filters.only_language)
    check = checking_stock_ids(tokenizer, place=options.vocab) if checks_tokenizer else nullcontext()
    with open_workspace(out, replace=replace) as workspace:
        if workspace.begin(_plan_json(sources, options=options, tokenizer=tokenizer)):
            print(f"{out}: continuing an earlier attempt; its finished parts are kept", file=sys.stderr)
        planner, setup = _plan_parts(sources, workspace=workspace, options=options, tokenizer=tokenizer)
        with check:
            num_parts, tally = _make_all_parts(planner, setup, processes=processes, on=on, report=report)
        try:
            decisions = decide_documents(
                workspace.parts,
                num_parts=num_parts,
                filters=options.filters,
                validation_share=options.validation_share,
            )
        except CorpusError as error:
            skipped = sum(tally.skipped(num_parts=num_parts).values(), Counter())
            reasons = format_skip_reasons(skipped) + explain_nothing_kept(tally, num_parts=num_parts)
            remedies = format_encoding_remedy(skipped) + format_field_remedy(
                tally.left_out(num_parts=num_parts).values(), text_field=options.reading.text_field
            )
            raise CorpusError(f"{', '.join(names)}: {error}{reasons}{remedies}") from error
        splits = write_splits(
            workspace.whole,
            parts=workspace.parts,
            num_parts=num_parts,
            decisions=decisions,
            decode=tokenizer.decode,
        )
        left_out = count_left_out(len(sources), tally=tally, num_parts=num_parts, splits=splits)
        source_counts = _count_sources(sources, tally=tally, num_parts=num_parts, splits=splits)
        manifest = _write_dataset_files(
            workspace, tokenizer=tokenizer, options=options, splits=splits, sources=source_counts, left_out=left_out
        )
        workspace.publish()
    return manifest


def prepare_share(names: list[str], *, out: Path, options: PrepareOptions, share: ArrayTask, processes: int) -> int:
    """Make one task's share of the parts of a data set, which `prepare` merges after all tasks; returns how many.

    Args:
        out: on a file system that all tasks share.

    Raises:
        CorpusError: a source cannot be read, or --max-documents was given.
        ShardError: `out` exists, or an attempt at another data set is there.
        VocabularyError: the vocabulary cannot be used.
    """
    if options.filters.max_documents is not None:
        raise CorpusError(
            "--max-documents: only one process, which sees all parts, knows when there are enough; leave it out, or "
            "prepare on one machine or on Ray"
        )
    sources = find_sources(names, encoding=options.reading.encoding, note=print_note)
    tokenizer = open_tokenizer(options.vocab)
    with open_workspace(out, replace=True, is_shared=True) as workspace:
        workspace.join(_plan_json(sources, options=options, tokenizer=tokenizer))
        planner, setup = _plan_parts(sources, workspace=workspace, options=options, tokenizer=tokenizer)
        made = list[PartFacts]()
        workers = _start_workers(setup, processes=processes, on=None)
        make_parts(planner, workers, PartTally(setup.folder, filters=setup.filters), share=share, on_done=made.append)
    return len(made)


def _plan_parts(
    sources: list[Source], *, workspace: Workspace, options: PrepareOptions, tokenizer: Tokenizer
) -> tuple[TaskPlanner, WorkerSetup]:
    readers = {i: make_reader(source, options.reading) for i, source in enumerate(sources)}
    setup = WorkerSetup(
        folder=workspace.parts,
        readers=readers,
        tokenizer_json=tokenizer.to_str(),
        language=options.language,
        filters=options.filters,
    )
    return TaskPlanner(sources, folder=workspace.parts, readers=readers), setup


def _plan_json(sources: list[Source], *, options: PrepareOptions, tokenizer: Tokenizer) -> str:
    """Everything that decides the bytes: an attempt with another plan starts over."""
    files = [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns) for source in sources for file in source.watched_files
    ]
    return json.dumps(
        {
            "format": DATASET_FORMAT,
            "parts": [PARTS_FORMAT, PART_BYTES, BLOCK_BYTES],
            "options": options.model_dump(),
            "sources": [(source.kind, source.path, sorted(source.members or ())) for source in sources],
            "files": files,
            "tokenizer": tokenizer.to_str(),
        }
    )


def _make_all_parts(
    planner: TaskPlanner, setup: WorkerSetup, *, processes: int, on: str | None, report: Callable[[float], None]
) -> tuple[int, PartTally]:
    """Make the parts; returns how many of them are needed, and their counts."""
    tally = PartTally(setup.folder, filters=setup.filters)
    with reading_progress(bytes_total=planner.bytes_total) as progress:

        def on_done(facts: PartFacts) -> None:
            documents = sum(facts.read.values())
            progress.update(
                documents=documents,
                bytes_read=planner.bytes_done,
                bytes_before=planner.bytes_before,
                text_bytes=planner.text_bytes,
            )
            if planner.bytes_total:
                report(planner.bytes_done / planner.bytes_total)

        make_parts(planner, _start_workers(setup, processes=processes, on=on), tally, on_done=on_done)
    return planner.num_parts if tally.num_parts_needed is None else tally.num_parts_needed, tally


def _start_workers(setup: WorkerSetup, *, processes: int, on: str | None) -> PartWorkers:
    if on is not None:
        return RayWorkers(setup, address=on, num_workers=processes or None)
    return InProcess(setup) if processes == 1 else LocalProcesses(setup, processes=processes)


def _count_sources(
    sources: list[Source], *, tally: PartTally, num_parts: int, splits: WrittenSplits
) -> list[SourceCounts]:
    """Each source's counts: documents left out by the workers, left out by the assembly, and kept."""
    read, skipped = tally.read(num_parts=num_parts), tally.skipped(num_parts=num_parts)
    for number, counts in splits.skipped.items():
        skipped.setdefault(number, Counter()).update(counts)
    return [
        _source_counts(source, read=read[i], skipped=skipped.get(i, Counter()), tally=splits.sources.get(i))
        for i, source in enumerate(sources)
    ]


def _source_counts(source: Source, *, read: int, skipped: Counter[str], tally: SourceTally | None) -> SourceCounts:
    return SourceCounts(
        kind=source.kind,
        # A name that is not UTF-8 is given with escapes.
        path=source.path.encode("utf-8", "backslashreplace").decode(),
        files=len(source.files),
        bytes=source.num_bytes,
        read=read,
        skipped=dict(sorted(skipped.items())),
        kept=SplitCounts() if tally is None else tally.kept,
    )


def _write_reports(
    workspace: Workspace, *, splits: WrittenSplits, num_sources: int, left_out: LeftOutReport
) -> dict[str, FileFacts]:
    quality = Quality(sources=[splits.sources.get(number, SourceTally()).quality() for number in range(num_sources)])
    files = {}
    for name, report in {QUALITY_FILE: quality, LEFT_OUT_FILE: left_out}.items():
        path = workspace.whole / name
        atomic_write(path, report.model_dump_json(indent=1) + "\n", mode=SHARED_MODE)
        files[name] = FileFacts(size=path.stat().st_size, sha256=file_sha256(path))
    return files


def _write_dataset_files(
    workspace: Workspace,
    *,
    tokenizer: Tokenizer,
    options: PrepareOptions,
    splits: WrittenSplits,
    sources: list[SourceCounts],
    left_out: LeftOutReport,
) -> Manifest:
    """Write the tokenizer, the reports and, last of all, the manifest."""
    vocabulary = vocabulary_from_tokenizer(tokenizer, place=options.vocab)
    casing = read_casing(tokenizer)
    folder = workspace.whole / TOKENIZER_FOLDER
    folder.mkdir()
    for name, content in tokenizer_files(tokenizer, place=options.vocab).items():
        atomic_write(folder / name, content, mode=SHARED_MODE)
    paths = sorted(folder.iterdir())
    files = {
        f"{TOKENIZER_FOLDER}/{path.name}": FileFacts(size=path.stat().st_size, sha256=file_sha256(path))
        for path in paths
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
        files=splits.files
        | files
        | _write_reports(workspace, splits=splits, num_sources=len(sources), left_out=left_out),
        held_out=splits.held_out,
    )
    atomic_write(workspace.whole / MANIFEST_FILE, manifest.model_dump_json(indent=1) + "\n", mode=SHARED_MODE)
    return manifest

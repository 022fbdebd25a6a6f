"""What `bertd data inspect` prints: counts in aligned columns, and sequences folded to the width of the terminal."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from pathlib import Path

from bertd.data.dataset.left_out_report import LeftOutReport
from bertd.data.dataset.text_quality import Quality
from bertd.data.inspect.budget_estimate import BudgetEstimate
from bertd.data.inspect.left_out_lines import shares_line
from bertd.data.inspect.report import DecodedSequence, PackingFacts
from bertd.data.prepare.skip_reasons import format_skip_reasons
from bertd.run.amounts.quantities import format_count
from bertd.run.dataset_manifest import MAX_PACKED_SEQUENCES, Manifest
from bertd.tokenizer.kind import VocabularyKind

_PREDICTED = re.compile(r"\[[^\s\[\]|]+\|[^\s\[\]|]+\]")
_BOLD, _RESET = "\x1b[1;33m", "\x1b[0m"


def dataset_lines(
    manifest: Manifest, quality: Quality | None, left_out: LeftOutReport | None, *, kind: VocabularyKind, root: Path
) -> list[str]:
    """The vocabulary, the sources and the splits."""
    # What the normalizer of another kind does to letters is not known.
    case = "" if kind is VocabularyKind.OTHER else ", uncased" if manifest.tokenizer.lowercase else ", cased"
    vocabulary = f"{format_count(manifest.vocab_size, 'entry', 'entries')}, {kind}{case}"
    lines = [f"{root}", f"  {vocabulary}; fingerprint {manifest.fingerprint[:12]}"]
    lines += ["", "sources", *source_lines(manifest, quality, left_out)]
    lines += ["", f"{'split':12}{'documents':>14}{'sentences':>14}{'tokens':>16}{'a sentence':>12}"]
    for name, counts in manifest.splits.items():
        mean = counts.tokens / max(1, counts.sentences)
        lines.append(f"  {name:10}{counts.documents:14,}{counts.sentences:14,}{counts.tokens:16,}{mean:12.1f}")
    return [*lines, *(f"  {line}" for line in holdout_lines(manifest))]


def packing_lines(facts: list[PackingFacts], *, length: int, estimate: BudgetEstimate | None) -> list[str]:
    """Both packings, and how many epochs of each the budget buys."""
    head = f"{f'sequences of {length}':18}{'an epoch':>14}{'padding':>10}"
    lines = [head + (f"{'epochs bought':>16}" if estimate is not None and estimate.sequences is not None else "")]
    for fact in facts:
        epochs = "" if fact.epochs is None else f"{fact.epochs:16,.2f}"
        lines.append(f"  {fact.packing:16}{fact.sequences:14,}{fact.padding_share:10.1%}{epochs}")
    if all(fact.packing != "sentences" for fact in facts):
        lines.append(f"  sentences       not measured: more than {MAX_PACKED_SEQUENCES:,} rows, which it does not take")
    if estimate is None:
        return [*lines, "  --recipe shows how many epochs a budget buys"]
    if estimate.sequences is not None:
        speed = "" if estimate.speed is None else f" at {estimate.speed}"
        bought = format_count(round(estimate.sequences), "sequence")
        return [*lines, f"  the budget of {estimate.budget} buys {bought}{speed}"]
    assert estimate.total_s is not None
    needed = ", ".join(f"{fact.sequences / estimate.total_s:,.3g} sequences/s ({fact.packing})" for fact in facts)
    return [
        *lines,
        f"  what the budget of {estimate.budget} buys depends on the speed: --sequences-per-s or --run gives one;",
        f"  one epoch needs {needed}",
    ]


def sequence_lines(decoded: list[DecodedSequence], *, width: int, is_coloured: bool) -> list[str]:
    """The decoded sequences."""
    lines = []
    if decoded:
        lines += ["", "a predicted token reads [what the model sees|the original]"]
    for sequence in decoded:
        # Words are not broken: a predicted token may hold a hyphen.
        folded = textwrap.fill(
            sequence.text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
        if is_coloured:
            folded = _PREDICTED.sub(lambda match: f"{_BOLD}{match[0]}{_RESET}", folded)
        lines += ["", f"sequence {sequence.number:,}", folded]
    return lines


def holdout_lines(manifest: Manifest) -> list[str]:
    """How the validation split was made, where documents could not simply be held out."""
    if not manifest.splits["validation"].documents:
        return [
            "no run can train on this, as nothing is held out to validate on; prepare it with --validation above 0, "
            "such as the default of 0.005"
        ]
    held_out = manifest.held_out
    if held_out is None:
        return []
    return [
        f"too few documents to hold out whole ones: validation has {format_count(held_out.pieces, 'piece')} of "
        f"{format_count(held_out.documents, 'long document')}, cut between sentences; training has the rest; "
        "where each line, or each part between blank lines, is a document, prepare lines:PATH or text-blocks:PATH"
    ]


def source_lines(manifest: Manifest, quality: Quality | None, left_out: LeftOutReport | None) -> list[str]:
    """Counts and quality of each source, and the share of its text that is kept, indented."""
    lines = []
    for number, source in enumerate(manifest.sources):
        files = f"{format_count(source.files, 'file')}, {source.bytes / 1e6:,.1f} MB; " if source.files else ""
        lines.append(
            f"  {source.kind}:{source.path}: {files}{source.kept.documents:,} of "
            f"{format_count(source.read, 'document')}{format_skip_reasons(Counter(source.skipped))}, "
            f"{format_count(source.kept.sentences, 'sentence')}, {format_count(source.kept.tokens, 'token')}"
        )
        if left_out is not None:
            lines.append(f"    {shares_line(left_out.sources[number])}")
        if quality is not None and source.kept.documents:
            lines.append(f"    {quality.sources[number].summary_line()}")
            lines += [f"    {remark}" for remark in quality.sources[number].remarks()]
    return lines

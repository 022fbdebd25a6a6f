"""Add up what was left out by readers, workers and the assembly, source by source."""

from __future__ import annotations

from bertd.data.dataset.left_out_report import LeftOutReport, SourceLeftOut
from bertd.data.dataset.text_quality import SUMMED_COLUMNS
from bertd.data.prepare.parts.counts import PartTally
from bertd.data.prepare.splits.source_tally import SourceTally
from bertd.data.prepare.splits.split_writer import WrittenSplits
from bertd.data.sources.readers.left_out import LeftOut, SkipReason
from bertd.run.amounts.quantities import format_count

_CHARACTERS = SUMMED_COLUMNS.index("characters")


def count_left_out(num_sources: int, *, tally: PartTally, num_parts: int, splits: WrittenSplits) -> LeftOutReport:
    """The report of a data set."""
    counted = tally.left_out(num_parts=num_parts)
    read = tally.read_characters(num_parts=num_parts)
    sources = []
    for number in range(num_sources):
        left_out = counted.get(number, LeftOut())
        left_out.update(splits.left_out.get(number, LeftOut()))
        kept = int(splits.sources.get(number, SourceTally()).sums[_CHARACTERS])
        record = left_out.to_record()
        # Counted at both ends: what a reader gave out, and what became of it.
        assert read[number] == kept + left_out.total, (number, read[number], kept, record.characters)
        samples = {reason: [text for _, text in ranked] for reason, ranked in record.samples.items()}
        sources.append(SourceLeftOut(read=read[number], kept=kept, left_out=record.characters, samples=samples))
    return LeftOutReport(sources=sources)


def explain_nothing_kept(tally: PartTally, *, num_parts: int) -> str:
    """What became of most of the text, if nothing of it reached the assembly; else empty."""
    left_out = LeftOut()
    for of_source in tally.left_out(num_parts=num_parts).values():
        left_out.update(of_source)
    if not left_out.total or tally.read_characters(num_parts=num_parts).total() > left_out.total:
        return ""
    reason, num_characters = max(left_out.characters.items(), key=lambda item: item[1])
    # Bytes that are not text show nothing.
    shows_nothing = reason in (SkipReason.NOT_TEXT, SkipReason.OTHER_FORMAT, SkipReason.INVALID_UTF8)
    samples = [] if shows_nothing else left_out.samples.get(reason, [])
    example = f', for example "{" ".join(samples[0][1].split())}"' if samples else ""
    return f"; {format_count(num_characters, 'character')} went as {reason.value}{example}"

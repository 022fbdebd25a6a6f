"""What was left out of each source, as text: shares on a line, a warning where little is kept, and samples."""

from __future__ import annotations

from bertd.data.dataset.left_out_report import LeftOutReport, SourceLeftOut
from bertd.data.sources.readers.left_out import SkipReason
from bertd.data.sources.spec import SourceKind
from bertd.run.dataset_manifest import Manifest

_MIN_KEPT_SHARE = 0.8
_MIN_KEPT_SHARE_OF_WIKITEXT = 0.25
"""Less than this of the characters read is rare. Half of an English dump is references, templates and tables."""
_MIN_PROSE_SHARE = 0.8
"""Of the lines that are text, as far as markup shows, the share that is prose; 0.95 of an English dump."""

_CHOSEN_REASONS = {
    SkipReason.SHORT.value,
    SkipReason.FEW_ASCII_LETTERS.value,
    SkipReason.NOT_WHERE.value,
    SkipReason.NO_COLUMN.value,
    SkipReason.OTHER_LANGUAGE.value,
    SkipReason.OTHER_RECORD.value,
    SkipReason.DUPLICATE.value,
    SkipReason.NEAR_DUPLICATE.value,
    SkipReason.OVER_LIMIT.value,
    SkipReason.OTHER_NAMESPACE.value,
    SkipReason.OLDER_REVISION.value,
}
"""Left out because an option asks for it, or by what a dump is: no reason to warn."""
_BINARY_REASONS = {SkipReason.NOT_TEXT.value, SkipReason.OTHER_FORMAT.value, SkipReason.INVALID_UTF8.value}
"""Bytes that are not text show nothing on a terminal."""
_NOT_PROSE_REASONS = {SkipReason.FRAGMENT.value, SkipReason.LIST_ITEM.value}
_SHOWN_REASONS = 6
_NO_REPORT = "an older bertd made this data set and did not count what it left out; prepare it again to see that"


def shares_line(source: SourceLeftOut) -> str:
    """How many characters were read, the share kept, and the shares left out by reason."""
    line = f"{source.read:,} characters read, {_format_share(source.kept, source.read)} kept"
    by_size = sorted(source.left_out.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{_format_share(count, source.read)} {reason}" for reason, count in by_size[:_SHOWN_REASONS]]
    if rest := sum(count for _, count in by_size[_SHOWN_REASONS:]):
        parts.append(f"{_format_share(rest, source.read)} other")
    return f"{line}; left out: {', '.join(parts)}" if parts else line


def _format_share(count: int, total: int) -> str:
    """In percent; neither 0 nor 100 where that is not exact."""
    if not count or count == total:
        return "100%" if count else "0%"
    share = 100 * count / total
    return "less than 0.1%" if share < 0.1 else "more than 99.9%" if share > 99.9 else f"{share:.1f}%"


def left_out_warnings(manifest: Manifest, report: LeftOutReport, *, name: str) -> list[str]:
    """A line for each source of which so little is kept that something may be wrong.

    Args:
        name: of the data set, for the command that shows more.
    """
    lines = []
    for counts, source in zip(manifest.sources, report.sources, strict=True):
        reasons = _suspicious_reasons(source, kind=SourceKind(counts.kind))
        if not reasons:
            continue
        place = f"{counts.kind}:{counts.path}"
        samples = [] if reasons[0] in _BINARY_REASONS else source.samples.get(reasons[0], [])
        example = f', for example "{" ".join(samples[0].split())}"' if samples else ""
        lines.append(
            f"warning: {place}: only {_format_share(source.kept, source.read)} of its {source.read:,} characters are "
            f"kept; {_format_share(source.left_out[reasons[0]], source.read)} are left out as {reasons[0]}{example}; "
            f"`bertd data inspect {name} --left-out` shows more"
        )
    return lines


def _suspicious_reasons(source: SourceLeftOut, *, kind: SourceKind) -> list[str]:
    """The reasons for which too much is left out, the largest first; none if enough is kept."""
    left_out = {reason: count for reason, count in source.left_out.items() if reason not in _CHOSEN_REASONS}
    by_size = sorted(left_out, key=lambda reason: (-left_out[reason], reason))
    not_prose = sum(left_out.get(reason, 0) for reason in _NOT_PROSE_REASONS)
    if source.kept < _MIN_PROSE_SHARE * (source.kept + not_prose):
        return [reason for reason in by_size if reason in _NOT_PROSE_REASONS]
    least = _MIN_KEPT_SHARE_OF_WIKITEXT if kind is SourceKind.WIKI_XML else _MIN_KEPT_SHARE
    return by_size if source.kept < least * (source.kept + sum(left_out.values())) else []


def sample_lines(manifest: Manifest, report: LeftOutReport | None) -> list[str]:
    """Every reason of each source with its characters and samples."""
    if report is None:
        return [_NO_REPORT]
    lines = []
    for counts, source in zip(manifest.sources, report.sources, strict=True):
        lines += [f"{counts.kind}:{counts.path}", f"  {shares_line(source)}"]
        for reason, count in sorted(source.left_out.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"  {reason}: {count:,} characters")
            lines += [f'    "{" ".join(sample.split())}"' for sample in source.samples.get(reason, [])]
    return lines

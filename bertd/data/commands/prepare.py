"""`python -m bertd.data.commands.prepare SOURCE... --vocab WHERE --out WHERE`: make a data set from corpora.

After an interruption the same command continues where it stopped. The data set appears under its name when it is
complete.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bertd.data.commands.arguments import parse_encoding, parse_positive, parse_share
from bertd.data.dataset.left_out_report import LeftOutReport, read_left_out
from bertd.data.dataset.locate import resolve_data_path
from bertd.data.dataset.text_quality import Quality, read_quality
from bertd.data.inspect.left_out_lines import left_out_warnings
from bertd.data.inspect.render import holdout_lines, source_lines
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources.spec import ReadingOptions, SourceKind
from bertd.program import print_error, run_main
from bertd.run.amounts.quantities import format_count
from bertd.run.dataset_manifest import Filters, Manifest
from bertd.terminal_text import terminal_json, terminal_text


def format_summary(manifest: Manifest, *, out: Path, quality: Quality | None, left_out: LeftOutReport | None) -> str:
    """Summarize a new data set in a few lines."""
    lines = [f"{out}: {format_count(manifest.vocab_size, 'entry', 'entries')}, fingerprint {manifest.fingerprint[:12]}"]
    for name, counts in manifest.splits.items():
        lines.append(
            f"  {name}: {format_count(counts.documents, 'document')}, {format_count(counts.sentences, 'sentence')}, "
            f"{format_count(counts.tokens, 'token')}"
        )
    lines += [f"  {line}" for line in holdout_lines(manifest)]
    lines += source_lines(manifest, quality, left_out)
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bertd data prepare",
        description="Make a data set from corpora.",
        epilog=f"A source is KIND:PATH, with KIND one of {', '.join(SourceKind)}; PATH may be a file, a folder or a "
        "glob, compressed (.gz .bz2 .xz .zst) or not. Without KIND, it is detected from the file.",
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="KIND:PATH, or PATH")
    parser.add_argument("--vocab", required=True, help="folder, tokenizer.json, vocab.txt, or a name on the hub")
    parser.add_argument("--out", required=True, help="name, or path, of the data set")
    parser.add_argument("--validation", type=parse_share, default=0.005, metavar="SHARE", help="of documents (0.005)")
    parser.add_argument("--text-field", default="text", metavar="NAME", help="of JSON lines and tables (text)")
    parser.add_argument(
        "--encoding", type=parse_encoding, metavar="NAME", help="of files that are not UTF-8, such as windows-1252"
    )
    parser.add_argument("--language", default="en", help="language of the sentence rules, ISO 639-1 (en)")
    parser.add_argument("--keep-disambiguation", action="store_true", help="of dumps: keep disambiguation pages")
    parser.add_argument(
        "--min-characters", type=parse_positive, default=1, metavar="N", help="drop shorter documents (1)"
    )
    parser.add_argument(
        "--min-ascii", type=parse_share, default=0.0, metavar="SHARE", help="least share of ASCII among the letters (0)"
    )
    parser.add_argument(
        "--dedup", choices=("none", "exact", "near"), default="exact", help="drop repeated documents (exact)"
    )
    parser.add_argument(
        "--near-threshold", type=parse_share, default=0.8, metavar="SHARE", help="for --dedup near (0.8)"
    )
    parser.add_argument("--max-documents", type=parse_positive, default=None, metavar="N", help="keep the first N")
    parser.add_argument(
        "--processes",
        type=parse_positive,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="workers (all cores)",
    )
    parser.add_argument("--replace", action="store_true", help="replace it if it exists")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(
        lambda: _prepare(_parser().parse_args(argv)), interrupted="interrupted; run the same command again to continue"
    )


def _prepare(args: argparse.Namespace) -> None:
    # Workers are processes; the libraries' own threads would compete for the same cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
    out = resolve_data_path(args.out)
    options = PrepareOptions(
        vocab=args.vocab,
        reading=ReadingOptions(
            text_field=args.text_field, keep_disambiguation=args.keep_disambiguation, encoding=args.encoding
        ),
        language=args.language,
        validation_share=args.validation,
        filters=Filters(
            min_characters=args.min_characters,
            min_ascii_share=args.min_ascii,
            dedup=args.dedup,
            near_threshold=args.near_threshold,
            max_documents=args.max_documents,
        ),
    )
    manifest = prepare(
        args.sources, out=out, options=options, processes=args.processes, replace=args.replace, checks_tokenizer=True
    )
    left_out = read_left_out(out)
    if args.json:
        tree = {"path": str(out), "fingerprint": manifest.fingerprint} | manifest.model_dump(mode="json")
        tree["left_out"] = None if left_out is None else left_out.model_dump(mode="json")
        print(terminal_json(json.dumps(tree)))
    else:
        print(terminal_text(format_summary(manifest, out=out, quality=read_quality(out), left_out=left_out)))
    if left_out is not None:
        for line in left_out_warnings(manifest, left_out, name=args.out):
            print_error(line)


if __name__ == "__main__":
    sys.exit(main())

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

from bertd.data.commands.arguments import (
    SLURM,
    parse_array_task,
    parse_cluster,
    parse_count,
    parse_encoding,
    parse_integer,
    parse_positive,
    parse_share,
    parse_where,
)
from bertd.data.commands.prepare_on_slurm import SlurmPlan, slurm_script, submit_script
from bertd.data.dataset.left_out_report import LeftOutReport, read_left_out
from bertd.data.dataset.locate import resolve_data_path
from bertd.data.dataset.text_quality import Quality, read_quality
from bertd.data.inspect.left_out_lines import left_out_warnings
from bertd.data.inspect.render import holdout_lines, source_lines
from bertd.data.prepare.pipeline import PrepareOptions, prepare, prepare_share
from bertd.data.sources.spec import ReadingOptions, SourceKind, absolute_source, find_sources
from bertd.errors import SubmissionError
from bertd.program import print_error, print_note, run_main
from bertd.records import PrepareJob
from bertd.run.amounts.quantities import format_count
from bertd.run.dataset_manifest import Filters, Manifest
from bertd.run.job_report import JobReport
from bertd.terminal_text import terminal_json, terminal_text
from bertd.tokenizer.tokenizer import open_tokenizer

_OF_THE_PROGRAM = (
    *("--vocab", "--validation", "--text-field", "--encoding", "--language", "--keep-disambiguation"),
    *("--where", "--only-language"),
    *("--min-characters", "--min-ascii", "--dedup", "--near-threshold", "--max-documents", "--replace"),
)
"""The options that decide what the data set has, as its job is given them."""


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
        "--where",
        action="append",
        default=[],
        type=parse_where,
        metavar="CONDITION",
        help="keep rows whose columns meet it, such as 'language_score > 0.9'; may be repeated",
    )
    parser.add_argument(
        "--only-language", action="store_true", help="keep documents that are in --language, by py3langid"
    )
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
        "--processes", "--workers", type=parse_positive, metavar="N", help="workers (all cores, here or of the cluster)"
    )
    parser.add_argument("--replace", action="store_true", help="replace it if it exists")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")
    elsewhere = parser.add_argument_group("on other machines")
    elsewhere.add_argument(
        "--on", type=parse_cluster, metavar="WHERE", help="ray://HEAD:10001, ray ($RAY_ADDRESS, or here), or slurm"
    )
    elsewhere.add_argument("--tasks", type=parse_positive, default=8, metavar="N", help="of the array of Slurm (8)")
    elsewhere.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="more for it, such as --sbatch=--partition=cpu",
    )
    elsewhere.add_argument("--submit", action="store_true", help="submit to Slurm; without it the script is printed")
    elsewhere.add_argument(
        "--array-task",
        type=parse_array_task,
        metavar="I/N",
        help="make only this share of the parts, to merge later",
    )
    queue = parser.add_argument_group("as a job of the daemon")
    queue.add_argument("--queue", action="store_true", help="queue it, on --processes cores; the others need this one")
    queue.add_argument("--name", help="of the job (the data set's)")
    queue.add_argument("--after", action="append", default=[], metavar="JOB,...", help="start when these jobs are done")
    queue.add_argument(
        "--after-any", action="append", default=[], metavar="JOB,...", help="start when these jobs are over"
    )
    queue.add_argument("--begin", metavar="TIME", help="start no earlier: 22:00, 2026-12-01T08:00 or +2h")
    queue.add_argument("--priority", type=parse_integer, default=0, metavar="N", help="higher goes first")
    queue.add_argument("--hold", action="store_true", help="do not start before `bertd release`")
    queue.add_argument("--retries", type=parse_count, default=0, metavar="N", help="begin again up to N times")
    queue.add_argument("--time-limit", metavar="TIME", help="end it after this wall time")
    queue.add_argument("--socket", metavar="PATH", help="the daemon's")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(
        lambda: _prepare(_parser().parse_args(argv)), interrupted="interrupted; run the same command again to continue"
    )


def _prepare(args: argparse.Namespace) -> None:
    job = JobReport()
    if args.queue and (args.on or args.array_task):
        raise SubmissionError("--queue: is for this machine; leave out --on and --array-task")
    if args.queue and not job.is_job:
        print(_describe_job(args).model_dump_json())
        return
    if not args.queue and (unused := _queue_options(args)):
        raise SubmissionError(f"{unused[0]}: is for a job of the daemon; give --queue too, or leave it out")
    if args.on == SLURM:
        _prepare_on_slurm(args)
        return
    if args.submit:
        raise SubmissionError("--submit: is for --on slurm; leave it out")
    # Workers are processes; the libraries' own threads would compete for the same cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RAYON_NUM_THREADS"] = "1"
    out = resolve_data_path(args.out)
    options = _options(args)
    processes = args.processes or len(os.sched_getaffinity(0))
    if args.array_task is not None:
        made = prepare_share(args.sources, out=out, options=options, share=args.array_task, processes=processes)
        share = f"task {args.array_task.number} of {args.array_task.num_tasks}"
        print(terminal_text(f"{out}: {share} made {format_count(made, 'part')}; the same without --array-task merges"))
        return
    manifest = prepare(
        args.sources,
        out=out,
        options=options,
        processes=(args.processes or 0) if args.on else processes,
        on=args.on,
        replace=args.replace,
        checks_tokenizer=True,
        report=job.progress,
    )
    _report(args, manifest, out=out, job=job)


def _options(args: argparse.Namespace) -> PrepareOptions:
    return PrepareOptions(
        vocab=args.vocab,
        reading=ReadingOptions(
            text_field=args.text_field,
            keep_disambiguation=args.keep_disambiguation,
            encoding=args.encoding,
            where=tuple(args.where),
        ),
        language=args.language,
        validation_share=args.validation,
        filters=Filters(
            min_characters=args.min_characters,
            min_ascii_share=args.min_ascii,
            dedup=args.dedup,
            near_threshold=args.near_threshold,
            max_documents=args.max_documents,
            where=tuple(args.where) or None,
            only_language=args.language if args.only_language else None,
        ),
    )


def _report(args: argparse.Namespace, manifest: Manifest, *, out: Path, job: JobReport) -> None:
    train = manifest.splits["train"]
    job.result(f"{out}: {format_count(train.documents, 'document')}, {format_count(train.tokens, 'token')} to train on")
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


def _prepare_on_slurm(args: argparse.Namespace) -> None:
    """Print the script of the array and its merge, or submit it.

    Raises:
        SubmissionError: Slurm refused, or an option does not go with it.
    """
    if args.array_task is not None:
        raise SubmissionError("--array-task: is for the tasks of --on slurm; leave one of both out")
    if args.max_documents is not None:
        raise SubmissionError("--max-documents: cannot be shared among the tasks of an array; leave it out")
    # What can be checked here is: an array fails late.
    find_sources(args.sources, encoding=args.encoding, note=print_note)
    open_tokenizer(args.vocab)
    out = resolve_data_path(args.out).absolute()
    absolute = argparse.Namespace(**vars(args))
    absolute.sources = [absolute_source(source) for source in args.sources]
    absolute.vocab = str(Path(args.vocab).absolute()) if Path(args.vocab).exists() else args.vocab
    given = _program_arguments(absolute)
    place = given.index("--")
    plan = SlurmPlan(
        name=out.name,
        arguments=(*given[place + 1 :], *given[:place], f"--out={out}"),
        num_tasks=args.tasks,
        processes=args.processes or 1,
        options=tuple(args.sbatch),
    )
    script = slurm_script(plan)
    print(submit_script(script) if args.submit else script)


def _program_arguments(args: argparse.Namespace) -> list[str]:
    """The arguments of the job's program: without --out and --processes, which the daemon gives."""
    parser, given = _parser(), list[str]()
    for name in _OF_THE_PROGRAM:
        value = getattr(args, name.removeprefix("--").replace("-", "_"))
        if isinstance(value, list):
            given += [f"{name}={one}" for one in value]
        elif value != parser.get_default(name.removeprefix("--").replace("-", "_")):
            given.append(name if value is True else f"{name}={value}")
    return [*given, "--", *args.sources]


def _queue_options(args: argparse.Namespace) -> list[str]:
    """The options of a job that were given."""
    given = {
        "--name": args.name,
        "--after": args.after,
        "--after-any": args.after_any,
        "--begin": args.begin,
        "--priority": args.priority,
        "--hold": args.hold,
        "--retries": args.retries,
        "--time-limit": args.time_limit,
        "--socket": args.socket,
    }
    return [name for name, value in given.items() if value]


def _describe_job(args: argparse.Namespace) -> PrepareJob:
    """Check what can be checked before it is queued, and say what `bertd data prepare --queue` asks the daemon for."""
    if not args.after and not args.after_any:
        # What it waits for may make them.
        find_sources(args.sources, encoding=args.encoding, note=print_note)
        open_tokenizer(args.vocab)
    return PrepareJob(
        arguments=_program_arguments(args),
        out=str(resolve_data_path(args.out).absolute()),
        processes=args.processes or len(os.sched_getaffinity(0)),
        name=args.name,
        after=[name for text in args.after for name in text.split(",") if name],
        after_any=[name for text in args.after_any for name in text.split(",") if name],
        begin=args.begin,
        priority=args.priority,
        hold=args.hold,
        retries=args.retries,
        time_limit=args.time_limit,
        socket=args.socket,
        json_output=args.json,
    )


if __name__ == "__main__":
    sys.exit(main())

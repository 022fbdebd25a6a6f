"""The stages of the demo, from docstrings to the finetuning score."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.live import Live

from bertd.api.models import RunView
from bertd.demo import process_cleanup, run_panel
from bertd.demo.console import ComparisonRow, DemoDisplay
from bertd.demo.corpus import CorpusFacts, CorpusPaths, build_corpus, prepare_corpus_folder, read_facts
from bertd.demo.docstrings import find_sources, installed_roots
from bertd.demo.jobs import (
    export_folder,
    follow_finetuning,
    follow_pretraining,
    initial_validation_loss,
    submit_finetuning,
    submit_pretraining,
)
from bertd.demo.private_daemon import PrivateDaemon
from bertd.demo.subprocesses import DataSetFacts, read_manifest, run_program, try_export
from bertd.errors import StorageError
from bertd.program import drawing
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_count

_VOCABULARY_SIZE = 8_192
_VALIDATION_SHARE = 0.02
_MIN_FREE_BYTES = 1_000_000_000
"""Text, shards, four checkpoints of a model with 5 million weights, and a reserve for other programs."""
_MASKED_SENTENCE = "This function returns the [MASK] of the list."
_FINETUNE_LR = 1e-3
"""Twenty times the usual rate: this encoder is narrow and was trained for only two minutes."""
_FINETUNE_EPOCHS = 4
_PLAIN_INTERVAL_S = 10.0


@dataclass(frozen=True)
class Settings:
    """The command line's options."""

    budget_s: float
    folder: Path
    """Absolute; the demo writes only there."""
    max_source_bytes: int
    """Limit of the Python source to read docstrings from."""


def run_demo(settings: Settings) -> None:
    """Run all stages.

    Raises:
        BertdError: a stage failed; the message has the reason and the remedy.
    """
    began_s = time.monotonic()
    display = DemoDisplay(num_stages=6)
    _check_disk_space(settings.folder)
    num_ranks = min(2, len(os.sched_getaffinity(0)))
    display.print_title(
        f"bertd: train your own encoder in {format_duration(settings.budget_s)}",
        f"from the documentation on this machine, on {num_ranks} CPU processes; no GPU and no download",
    )
    paths, facts = _prepare_corpus(display, settings, num_workers=num_ranks)
    data_set = _prepare_shards(display, paths, folder=settings.folder)
    with PrivateDaemon(settings.folder) as daemon:
        run = _pretrain(display, daemon, settings, paths, num_ranks=num_ranks)
        _compare_losses(display, run, data_set, untrained=initial_validation_loss(daemon.client, run))
        _try_export(display, run, folder=settings.folder)
        _finetune(display, daemon, run, paths, facts)
        display.begin_stage("Clean up")
        daemon.shut_down()
        display.info(f"the daemon (pid {daemon.pid}) has exited")
    if num_killed := process_cleanup.kill_descendants():
        display.warn(
            f"{num_killed} processes were still running after the daemon exited and were killed; please report this"
        )
    else:
        display.info("nothing is left running: all processes that this demo started have exited")
    display.info(f"the run's folder, with journal, checkpoints and exports: {run.folder}")
    display.info(f"total time: {format_duration(time.monotonic() - began_s)}")


def _check_disk_space(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(
            f"{folder}: {error.strerror}; run the demo in a writable folder, or give another with --folder"
        ) from error
    if free_bytes < _MIN_FREE_BYTES:
        raise StorageError(
            f"{folder}: {free_bytes / 1e6:,.0f} MB are free, the demo needs {_MIN_FREE_BYTES / 1e6:,.0f} MB; "
            "free space, or give a folder on another disk with --folder"
        )


def _prepare_corpus(display: DemoDisplay, settings: Settings, *, num_workers: int) -> tuple[CorpusPaths, CorpusFacts]:
    display.begin_stage("A corpus: the docstrings of the standard library and of the installed packages")
    began_s = time.monotonic()
    with display.spinner("looking for Python source"):
        sources = find_sources(installed_roots(), max_bytes=settings.max_source_bytes)
        paths = prepare_corpus_folder(settings.folder, sources)
        facts = read_facts(paths)
    how = "is reused from an earlier demo with the same files"
    if facts is None:
        total_bytes = sum(source.size_bytes for source in sources)
        with display.progress_bar(f"reading {len(sources):,} files with ast", total=total_bytes) as progress:
            facts = build_corpus(
                paths,
                sources,
                num_workers=num_workers,
                on_read=lambda source: progress.advance(progress.task_ids[0], source.size_bytes),
            )
        how = f"was built in {format_duration(time.monotonic() - began_s)}; nothing was imported"
    _print_corpus(display, facts, paths, how=how)
    return paths, facts


def _print_corpus(display: DemoDisplay, facts: CorpusFacts, paths: CorpusPaths, *, how: str) -> None:
    display.info(
        f"{facts.num_characters / 1e6:.1f} million characters of prose from {facts.num_documents:,} modules "
        f"(of {facts.num_files:,} files)"
    )
    display.info(f"{facts.num_held_out:,} more modules are held out; the finetuning task is made from them")
    display.info(f"{paths.corpus} {how}")


def _prepare_shards(display: DemoDisplay, paths: CorpusPaths, *, folder: Path) -> DataSetFacts:
    display.begin_stage(f"A WordPiece vocabulary of {_VOCABULARY_SIZE:,} and shards")
    began_s = time.monotonic()
    corpus = str(paths.corpus)
    is_there = (paths.shards / "manifest.json").is_file()
    if not is_there:
        # Remove the leftovers of an interrupted demo.
        shutil.rmtree(paths.vocabulary, ignore_errors=True)
        shutil.rmtree(paths.shards, ignore_errors=True)
        with display.spinner("training the vocabulary"):
            size = ["--size", str(_VOCABULARY_SIZE)]
            run_program(
                "bertd.data.commands.vocab",
                [corpus, *size, "--out", str(paths.vocabulary)],
                log=folder / "vocabulary.log",
            )
        with display.spinner("preparing shards"):
            where = ["--vocab", str(paths.vocabulary), "--out", str(paths.shards)]
            share = ["--validation", str(_VALIDATION_SHARE)]
            run_program("bertd.data.commands.prepare", [corpus, *where, *share], log=folder / "prepare.log")
    facts = read_manifest(paths.shards)
    train, validation = facts.splits["train"], facts.splits["validation"]
    display.info(
        f"{facts.vocab_size:,} entries; {train.tokens:,} training tokens, {validation.tokens:,} validation tokens from "
        f"{format_count(validation.documents, 'document')}"
    )
    how = "are reused from an earlier demo" if is_there else f"took {format_duration(time.monotonic() - began_s)}"
    display.info(f"{paths.shards} {how}")
    return facts


def _pretrain(
    display: DemoDisplay, daemon: PrivateDaemon, settings: Settings, paths: CorpusPaths, *, num_ranks: int
) -> RunView:
    display.begin_stage(f"Pretraining, run by a daemon, with a budget of {format_duration(settings.budget_s)}")
    display.info(f"`bertd start` runs as pid {daemon.pid}, its log is {daemon.log}")
    dashboard = Path(sys.executable).with_name("bert-tui")
    command = f"{shlex.quote(str(dashboard))} --socket {shlex.quote(str(daemon.socket))}"
    display.print_command(command, what="the dashboard, in a second terminal:")
    job = submit_pretraining(daemon.client, shards=paths.shards, budget_s=settings.budget_s, num_devices=num_ranks)
    curve = run_panel.LossCurve()
    if not display.is_live:
        return follow_pretraining(
            daemon, job, budget_s=settings.budget_s, display=run_panel.PlainProgress(display.info).run
        )
    with drawing(sys.stdout), Live(console=display.console, refresh_per_second=2, transient=True) as live:

        def draw(run: RunView) -> None:
            curve.add(run.step)
            live.update(run_panel.render_panel(run, curve, is_ascii=display.is_ascii))

        run = follow_pretraining(daemon, job, budget_s=settings.budget_s, display=draw)
    if drawn := curve.draw(is_ascii=display.is_ascii):
        display.info(f"loss  {drawn}")
    return run


def _compare_losses(display: DemoDisplay, run: RunView, data_set: DataSetFacts, *, untrained: float) -> None:
    assert run.validation is not None
    if end := run.end:
        display.info(
            f"{end.step:,} steps, {end.sequences:,} sequences in {format_duration(end.charged_s)} charged; "
            f"the learning rate ended at {end.lr if end.lr is not None else math.nan:g}"
        )
    entries = data_set.vocab_size
    unigram_entropy = run.validation.unigram_entropy
    display.compare(
        f"validation loss in nats on {run.validation.num_tokens:,} masked tokens, lower is better",
        [
            ComparisonRow("this encoder", run.validation.loss, True),
            ComparisonRow("word frequency in its training text (untrained)", untrained, False),
            ComparisonRow("word frequency in these tokens (unigram entropy)", unigram_entropy, False),
            ComparisonRow(f"a uniform guess (ln {entries:,})", math.log(entries), False),
        ],
    )


def _try_export(display: DemoDisplay, run: RunView, *, folder: Path) -> None:
    display.begin_stage("The export, loaded by stock transformers")
    export = export_folder(run)
    with display.spinner("loading it with AutoModelForMaskedLM"):
        output = try_export(export, text=_MASKED_SENTENCE, log=folder / "export.log")
    display.info(f"{export} loads as {output.architecture}")
    words = ", ".join(f"{fill.token} {fill.probability:.0%}" for fill in output.fills)
    display.info(f"{_MASKED_SENTENCE}  ->  {words}")


def _finetune(
    display: DemoDisplay, daemon: PrivateDaemon, run: RunView, paths: CorpusPaths, facts: CorpusFacts
) -> None:
    display.begin_stage(f"Finetuning: is a sentence from the docstrings of {facts.package}, or of another package?")
    job = submit_finetuning(daemon.client, run, glue=paths.glue, lr=_FINETUNE_LR, epochs=_FINETUNE_EPOCHS)
    if display.is_live:
        with display.progress_bar("finetuning", total=1.0) as progress:
            score = follow_finetuning(
                daemon,
                job,
                display=lambda job: progress.update(progress.task_ids[0], completed=job.progress or 0.0),
            )
    else:
        score = follow_finetuning(daemon, job, display=run_panel.PlainProgress(display.info).job)
    display.info(
        f"{score.num_train:,} training and {score.num_dev:,} development sentences, all from held-out modules; "
        f"{format_duration(score.seconds)}"
    )
    word_counts = {"matthews": facts.word_counts.matthews, "accuracy": facts.word_counts.accuracy}
    for name, from_words in word_counts.items():
        display.compare(
            f"{name}, higher is better",
            [
                ComparisonRow("this encoder", score.metrics[name], True),
                ComparisonRow("words counted (naive Bayes), no encoder", from_words, False),
                ComparisonRow("always the most common answer", score.majority_metrics[name], False),
            ],
        )

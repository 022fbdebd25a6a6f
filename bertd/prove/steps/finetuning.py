"""A finetuning of two hundred updates on made-up pairs, from an export written on the spot, under its runner."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

from bertd.bench.gpu_state import GpuWatch
from bertd.prove.context import StepContext
from bertd.prove.run_probe import JobProbe, make_finetuning
from bertd.prove.sizes import choose_recipe
from bertd.prove.steps.whole_run import proof_dataset
from bertd.prove.synthetic_data import made_up_words
from bertd.records import EndRecord, FinetuneSpec, JobState, ScoreRecord, StepRecord

_UPDATES = 200
_BATCH = {"real": 32, "tiny": 4}
_DEV_EXAMPLES = 64
_WORDS = {"real": (8, 40), "tiny": (3, 6)}
"""Fewest and most in a sentence."""


def prove(context: StepContext) -> None:
    """Finetune; look at the score and the speed."""
    size = "tiny" if context.is_tiny else "real"
    until_s = time.monotonic() + context.left_s() - 2.0
    data, export = context.work / "pairs", context.work / "export"
    dataset = proof_dataset(context)
    num_words = _write_export(context, export, dataset)
    _write_pairs(data / "RTE", words=made_up_words(num_words), size=size)
    spec = FinetuneSpec(
        task="rte",
        data_dir=str(data),
        source=str(export),
        source_name="made up",
        epochs=1,
        batch_size=_BATCH[size],
        lr=1e-5,
        max_length=32 if context.is_tiny else 128,
    )
    probe = make_finetuning(context.work / "finetuning", spec)
    try:
        context.attempt("finetuning", lambda: _finetune(context, probe, until_s=until_s))
    finally:
        probe.kill()


def _finetune(context: StepContext, probe: JobProbe, *, until_s: float) -> None:
    probe.start()
    with GpuWatch(is_wanted=context.is_cuda) as watch:
        outcome = probe.wait(until_s=until_s)
    context.check("finetuning", outcome.state is JobState.DONE, f"{outcome.state}: {outcome.reason}")
    ends, scores = probe.records(EndRecord), probe.records(ScoreRecord)
    is_whole = bool(ends) and ends[-1].step == _UPDATES
    context.check("updates", is_whole, f"{ends[-1].step if ends else 0} of {_UPDATES}")
    detail = f"{scores[-1].metric} {scores[-1].score:.3f} on made-up pairs" if scores else "none"
    context.check("score", bool(scores), detail)
    if steps := probe.records(StepRecord):
        speed = statistics.median(record.sequences_per_s for record in steps)
        busy = "" if watch.state is None else f"; {watch.state.describe()}"
        detail = f"batch {_BATCH['tiny' if context.is_tiny else 'real']}, median of {len(steps)} reports{busy}"
        context.measure("finetuning.examples_per_s", "finetuning", speed, "examples/s", detail)
    if watch.state is not None and watch.state.busy is not None:
        context.measure("finetuning.busy", "GPU busy while finetuning", watch.state.busy, "of the time")


def _write_export(context: StepContext, export: Path, dataset: Path) -> int:
    """An export of first weights; the number of its vocabulary's entries."""
    from bertd.data.dataset.shards import DataSet
    from bertd.model.encoder import MaskedLanguageModel
    from bertd.model.export import write_export
    from bertd.train.run_inputs import encoder_config

    opened = DataSet.open(dataset)
    recipe = choose_recipe(is_cuda=context.is_cuda, is_tiny=context.is_tiny)
    model = MaskedLanguageModel(encoder_config(recipe, vocab_size=opened.vocabulary.size), seed=1)
    write_export(model, export, tokenizer_dir=opened.tokenizer_dir, model_card="Made up by bertd prove.\n")
    return opened.vocabulary.size


def _write_pairs(folder: Path, *, words: list[str], size: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chooser = random.Random(0)
    counts = {"train.tsv": _UPDATES * _BATCH[size], "dev.tsv": _DEV_EXAMPLES}
    for name, count in counts.items():
        lines = ["index\tsentence1\tsentence2\tlabel"]
        for index in range(count):
            first, second = (" ".join(chooser.choices(words, k=chooser.randint(*_WORDS[size]))) for _ in range(2))
            lines.append(f"{index}\t{first}\t{second}\t{chooser.choice(('entailment', 'not_entailment'))}")
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

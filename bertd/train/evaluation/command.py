"""`bertd evaluate MODEL`: loss and accuracy of a checkpoint or an export on a data set's validation split."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bertd.data.batches.masking import MaskedBatch
from bertd.data.dataset.locate import find_dataset
from bertd.data.dataset.mixture import DataMixture
from bertd.errors import CheckpointError, ShardError
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.pretrained import require_vocabulary
from bertd.program import print_error, run_main
from bertd.records import Evaluation
from bertd.run.checkpoint_index import find_checkpoint_at_marker, protect
from bertd.run.job_report import JobReport
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import parse_recipe, read_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_json, terminal_line
from bertd.train.backends.leased_device import choose_device
from bertd.train.checkpoint.format import verify_checkpoint
from bertd.train.checkpoint.load_weights import load_weights, select_checkpoint
from bertd.train.evaluation.measure import Predict, measure
from bertd.train.run_inputs import encoder_config

DEFAULT_LENGTH = 128
"""Tokens per sequence for an export, which does not say with how many it was trained."""


def evaluate_checkpoint(
    paths: RunPaths,
    *,
    step: int | None,
    shards: Path | None,
    max_sequences: int | None,
    device: torch.device,
    report: Callable[[float], None] = lambda share: None,
) -> tuple[Evaluation, list[str]]:
    """Evaluate a checkpoint of a run; also returns the damaged ones that were skipped.

    Args:
        step: None for the newest valid one.
        shards: None for those of the run.
        max_sequences: None for as many as the run validates on.

    Raises:
        CheckpointError: there is none, it is damaged, or was trained on another vocabulary.
        RecipeError: the run's recipe cannot be read.
        ShardError: the data set cannot be used.
    """
    recipe = read_recipe(paths.recipe)
    checkpoint, skipped = select_checkpoint(paths, step)
    own = DataMixture.open(recipe.data.weights)
    dataset = own if shards is None else DataMixture.open({str(shards): 1})
    if dataset.vocabulary.entries != own.vocabulary.entries:
        raise CheckpointError(
            f"{dataset.place}: has another vocabulary than {own.place}, which the run was trained on; prepare it with "
            "that one: bertd data prepare --vocab"
        )
    model = MaskedLanguageModel(encoder_config(recipe, vocab_size=own.vocabulary.size), seed=recipe.run.seed)
    with protect(checkpoint):
        if step is not None:
            verify_checkpoint(checkpoint)
        load_weights(checkpoint, model)
    model = model.eval().to(device)

    def predict(batch: MaskedBatch) -> Tensor:
        x_BMD = model.encoder(batch.inputs_BS, query_positions_BM=batch.positions_BM)
        logits_BMV: Tensor = model.head(x_BMD, model.encoder.embeddings.tokens.weight)
        return logits_BMV[..., : model.config.vocab_size]

    name = f"{paths.root.name}/{checkpoint.name}"
    sequences = max_sequences or recipe.validation.max_sequences
    evaluation = _evaluate(predict, recipe, dataset, name, max_sequences=sequences, device=device, report=report)
    return evaluation, skipped


def evaluate_export(
    export: Path,
    *,
    shards: Path,
    sequence_length: int,
    max_sequences: int,
    device: torch.device,
    report: Callable[[float], None] = lambda share: None,
) -> Evaluation:
    """Evaluate a folder that stock transformers loads, with that library.

    Raises:
        CheckpointError: it cannot be loaded, or has another vocabulary.
        ShardError: the data set cannot be used.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer  # seconds that a checkpoint need not pay

    dataset = DataMixture.open({str(shards): 1})
    try:
        tokenizer = AutoTokenizer.from_pretrained(export, local_files_only=True, trust_remote_code=False)
        stock = AutoModelForMaskedLM.from_pretrained(
            export, local_files_only=True, trust_remote_code=False, weights_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{export}: stock transformers cannot load it as a masked language model: "
            f"{terminal_line(str(error)):.300}; give an export, such as `bertd export` writes"
        ) from error
    require_vocabulary(str(export), tokenizer.get_vocab(), dataset.vocabulary.entries)
    model, size = stock.eval().to(device), dataset.vocabulary.size
    recipe = _recipe_for(shards, sequence_length=sequence_length)

    def predict(batch: MaskedBatch) -> Tensor:
        logits_BSV: Tensor = model(input_ids=batch.inputs_BS).logits[..., :size]
        index_BM1 = batch.positions_BM.unsqueeze(-1)
        return logits_BSV.gather(1, index_BM1.expand(-1, -1, size))

    return _evaluate(predict, recipe, dataset, str(export), max_sequences=max_sequences, device=device, report=report)


def _evaluate(
    predict: Predict,
    recipe: Recipe,
    dataset: DataMixture,
    name: str,
    *,
    max_sequences: int,
    device: torch.device,
    report: Callable[[float], None],
) -> Evaluation:
    measured = measure(predict, recipe, dataset, max_sequences=max_sequences, device=device, report=report)
    return Evaluation(
        model=name,
        shards=dataset.place,
        fingerprint=dataset.fingerprint,
        loss=measured.loss,
        standard_error=measured.standard_error,
        accuracy=measured.accuracy,
        unigram_loss=measured.unigram_loss,
        num_tokens=measured.num_tokens,
        num_sequences=measured.num_sequences,
        sequence_length=recipe.data.sequence_length,
    )


def _recipe_for(shards: Path, *, sequence_length: int) -> Recipe:
    """The masks and packing of a recipe that says nothing about them."""
    text = f"[run]\nname = \"evaluation\"\n[budget]\nsteps = 1\n[data]\nshards = '''{shards}'''\n"
    return parse_recipe(text, name="evaluation", overrides=[f"data.sequence_length={sequence_length}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bertd evaluate", description=__doc__)
    parser.add_argument("model", type=Path, help="the folder of a run, or of an export")
    parser.add_argument("--step", type=int, help="of a run's checkpoint (the newest valid one)")
    parser.add_argument("--marker", type=float, help="share of the budget whose checkpoint was kept")
    parser.add_argument("--shards", help="data set, by name or path (the run's own)")
    parser.add_argument("--sequences", type=int, help="at most so many, spread over the split (as the run validates)")
    parser.add_argument("--sequence-length", type=int, help=f"tokens per sequence, for an export ({DEFAULT_LENGTH})")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(lambda: _run(_parser().parse_args(argv)))


def _run(args: argparse.Namespace) -> None:
    job = JobReport()
    shards = None if args.shards is None else find_dataset(args.shards)
    device = choose_device()
    paths = RunPaths(args.model.absolute())
    if paths.recipe.is_file():
        if args.sequence_length is not None:
            raise CheckpointError(f"{args.model}: is a run, whose recipe has the length; leave out --sequence-length")
        step = args.step
        if args.marker is not None:
            step = find_checkpoint_at_marker(paths, args.marker, name=paths.root.name).step
        evaluation, skipped = evaluate_checkpoint(
            paths, step=step, shards=shards, max_sequences=args.sequences, device=device, report=job.progress
        )
        for each in skipped:
            print_error(f"skipped {each}")
    else:
        evaluation = _of_export(args, shards, device=device, report=job.progress)
    job.result(evaluation.text, evaluation.model_dump_json(indent=1))
    if args.json:
        print(terminal_json(evaluation.model_dump_json()))
    else:
        print(f"{terminal_line(evaluation.model)} on {terminal_line(evaluation.shards)}\n  {evaluation.text}")


def _of_export(
    args: argparse.Namespace, shards: Path | None, *, device: torch.device, report: Callable[[float], None]
) -> Evaluation:
    if not args.model.is_dir():
        raise CheckpointError(f"{args.model}: no such folder; give a run, or an export such as `bertd export` writes")
    if args.step is not None or args.marker is not None:
        raise CheckpointError(f"{args.model}: is an export, which has one step alone; leave the step out")
    if shards is None:
        raise ShardError(f"{args.model}: an export does not say where its data set is; give --shards")
    return evaluate_export(
        args.model.absolute(),
        shards=shards,
        sequence_length=args.sequence_length or DEFAULT_LENGTH,
        max_sequences=args.sequences or 16_384,
        device=device,
        report=report,
    )


if __name__ == "__main__":
    sys.exit(main())

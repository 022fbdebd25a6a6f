"""`python -m bertd.train.checkpoint.export_checkpoint RUN`: export a checkpoint of a run.

This writes what a run's end writes, from any kept checkpoint, while the run trains or after. It needs no device. The
checkpoint is verified first, and protected while it is read, so that the run does not delete it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bertd.data.dataset.mixture import DataMixture
from bertd.errors import CheckpointError, RunFolderError, VocabularyError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.export import export_tokenizer_files
from bertd.program import print_error, run_main
from bertd.run.checkpoint_index import find_checkpoint_at_marker, protect
from bertd.run.job_report import JobReport
from bertd.run.journal_digest import read_digest
from bertd.run.paths import RunPaths, require_new_folder
from bertd.run.progress import fold_records
from bertd.run.recipe.load import read_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_json, terminal_line
from bertd.tokenizer.stock import require_stock_ids
from bertd.train.checkpoint.export import export_state
from bertd.train.checkpoint.format import verify_checkpoint
from bertd.train.checkpoint.load_weights import load_weights, select_checkpoint
from bertd.train.run_inputs import encoder_config
from bertd.train.state import TrainState


@dataclass(frozen=True)
class ExportResult:
    """The export that was written."""

    folder: Path
    architecture: str
    """Class name in transformers."""
    skipped: list[str]
    """Damaged checkpoints that were skipped."""


def export_run(paths: RunPaths, *, step: int | None, out: Path | None) -> ExportResult:
    """Write the export of a checkpoint.

    Args:
        step: of the checkpoint; None for the newest valid one.
        out: the folder to make; None for the run's own exports/step-N.

    Raises:
        RunFolderError: the folder is not that of a run, or its journal cannot be read.
        CheckpointError: there is no such checkpoint, or it is damaged.
        OutputExistsError: the folder exists already.
        StorageError: the disk refused.
        VocabularyError: transformers gives other ids with the tokenizer's files than the shards have.
    """
    if not paths.recipe.is_file():
        raise RunFolderError(f"{paths.root}: not a run (no {paths.recipe.name}); `bertd jobs` lists the runs")
    recipe = read_recipe(paths.recipe)
    checkpoint, skipped = select_checkpoint(paths, step)
    folder = out or paths.exports / checkpoint.name
    require_new_folder(folder)
    dataset = DataMixture.open(recipe.data.weights)
    model = MaskedLanguageModel(encoder_config(recipe, vocab_size=dataset.vocabulary.size), seed=recipe.run.seed)
    with protect(checkpoint):
        if step is not None:
            # The newest was verified when it was found.
            verify_checkpoint(checkpoint)
        state = load_weights(checkpoint, model)
    if state.data_fingerprint != dataset.fingerprint:
        raise CheckpointError(
            f"{checkpoint}: was trained on other data than {dataset.place}, whose vocabulary it would get; restore "
            f"the data set with fingerprint {state.data_fingerprint[:12]}"
        )
    _require_stock_ids(dataset, model.config)
    recipe = _apply_budget_changes(state, recipe, paths)
    weights = dict(model.named_parameters())
    name = export_state(
        weights, model.config, folder, state=state, recipe=recipe, dataset=dataset, charged_s=state.charged_s
    )
    return ExportResult(folder=folder, architecture=name, skipped=skipped)


def _require_stock_ids(dataset: DataMixture, config: EncoderConfig) -> None:
    """Open the tokenizer's files as a user of the export will; a run's own export relies on `bertd data prepare`.

    Raises:
        VocabularyError: transformers gives other ids.
    """
    with TemporaryDirectory(prefix="bertd-tokenizer-") as folder:
        for name, content in export_tokenizer_files(dataset.tokenizer_dir, config).items():
            (Path(folder) / name).write_bytes(content)
        try:
            require_stock_ids(Path(folder))
        except VocabularyError as error:
            raise VocabularyError(str(error).replace(folder, str(dataset.tokenizer_dir))) from error


def _apply_budget_changes(state: TrainState, recipe: Recipe, paths: RunPaths) -> Recipe:
    """The recipe with the budget that the run had when this checkpoint was saved, as recorded in the journal."""
    changes = [each for each in read_digest(paths.journal).budget_changes if each.charged_s <= state.charged_s]
    return recipe.with_budget(fold_records(changes).budget_plan(recipe.granted).granted.amount)


def main() -> int:
    """Run the command; the exit status is the error's."""
    parser = argparse.ArgumentParser(prog="bertd export", description=__doc__)
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--step", type=int, help="of the checkpoint (the newest valid one)")
    parser.add_argument("--marker", type=float, help="share of the budget whose checkpoint was kept")
    parser.add_argument("--out", type=Path, help="folder to make (exports/step-N of the run)")
    parser.add_argument("--json", action="store_true", help="print the folder and its class as JSON")
    return run_main(lambda: _export(parser.parse_args()))


def _export(args: argparse.Namespace) -> None:
    paths = RunPaths(args.run.absolute())
    step = args.step
    if args.marker is not None:
        step = find_checkpoint_at_marker(paths, args.marker, name=str(paths.root)).step
    result = export_run(paths, step=step, out=None if args.out is None else args.out.absolute())
    for skipped in result.skipped:
        print_error(f"skipped {skipped}")
    JobReport().result(f"{result.folder} loads as {result.architecture}")
    if args.json:
        print(terminal_json(json.dumps({"folder": str(result.folder), "architecture": result.architecture})))
        return
    print(f"{terminal_line(str(result.folder))} loads as {result.architecture}")


if __name__ == "__main__":
    sys.exit(main())

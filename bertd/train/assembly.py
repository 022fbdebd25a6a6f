"""Puts a trainer together from a run folder: recipe, data, model, checkpoint, and on rank 0 the desk."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Event

import torch

import bertd
from bertd.data.batches import TrainBatches, validation_batches
from bertd.data.masking import Masker
from bertd.data.sequences import Sequences, open_sequences
from bertd.data.shards import DataSet
from bertd.errors import CheckpointError
from bertd.model.encoder import EncoderConfig, MaskedLanguageModel
from bertd.model.pretrained import load_pretrained
from bertd.records import AlertRecord, Record, StartRecord
from bertd.run.durable import write_whole
from bertd.run.journal import JournalWriter, read_journal
from bertd.run.ledger import ChargedClock
from bertd.run.mailbox import last_acknowledged
from bertd.run.paths import RunPaths
from bertd.run.recipe import Recipe, read_recipe, write_recipe
from bertd.train.apex import use_fused_modules
from bertd.train.checkpoint import TrainingState, find_checkpoint, load_checkpoint
from bertd.train.desk import Desk
from bertd.train.kernels import Kernels, choose_kernels
from bertd.train.optimizer import Optimizers, build_optimizers
from bertd.train.orders import Conductor
from bertd.train.precision import Precision, choose_precision
from bertd.train.ranks import Ranks
from bertd.train.trainer import Parts, Trainer
from bertd.train.update import Updater
from bertd.train.validation import Validator

_PACKAGES = ("torch", "numpy", "safetensors", "tokenizers", "transformers")


class Provenance(Record):
    """Content of provenance.json: where the numbers of this run come from."""

    bertd: str
    python: str
    platform: str
    packages: dict[str, str]
    device_name: str
    world_size: int
    recipe_sha256: str
    data_fingerprint: str


@dataclass(frozen=True)
class OpenedRun:
    """What a run is made from, as it lies on disk."""

    paths: RunPaths
    recipe: Recipe
    recipe_sha256: str
    dataset: DataSet
    train: Sequences
    validation: Sequences


@dataclass(frozen=True)
class Resumed:
    """Where an attempt begins."""

    state: TrainingState
    skipped: list[str]
    """Damaged checkpoints that were passed over."""
    start_from: str | None = None
    """Class and place of the stock checkpoint whose weights were taken."""


def open_run(paths: RunPaths) -> OpenedRun:
    """Read recipe and data.

    Raises:
        RecipeError: the recipe is not one.
        ShardError: the data set is missing, damaged or too small.
        VocabularyError: its tokenizer is not the one it was prepared with.
    """
    recipe = read_recipe(paths.recipe)
    dataset = DataSet.open(Path(recipe.data.shards))

    def rows(split: str) -> Sequences:
        data = recipe.data
        return open_sequences(dataset, split=split, sequence_length=data.sequence_length, packing=data.packing)

    return OpenedRun(
        paths=paths,
        recipe=recipe,
        recipe_sha256=hashlib.sha256(write_recipe(recipe).encode()).hexdigest(),
        dataset=dataset,
        train=rows("train"),
        validation=rows("validation"),
    )


def assemble(opened: OpenedRun, *, ranks: Ranks, attempt: int, stop_signal: Event) -> Trainer:
    """Build everything and resume from the newest valid checkpoint.

    Raises:
        CheckpointError: none is whole, or it belongs to another recipe or other data; or start_from does not fit.
        DeviceError: the precision or the kernels are not to be had on this device.
    """
    recipe = opened.recipe
    _set_up_device(ranks)
    precision = choose_precision(recipe.precision, ranks.device)
    kernels = choose_kernels(recipe, precision=precision, ranks=ranks)
    model = MaskedLanguageModel(encoder_config(opened), seed=recipe.run.seed).to(ranks.device)
    use_fused_modules(model, kernels.apex)
    optimizers = build_optimizers(
        model, recipe.optimizer, apex=kernels.apex, rank=ranks.rank, world_size=ranks.world_size
    )
    resumed = _resume(opened, model=model, optimizers=optimizers)
    masker = _masker(opened)
    batches = _train_batches(opened, masker, ranks, first_sequence=resumed.state.sequences)
    updater = Updater(
        recipe,
        model=model,
        optimizers=optimizers,
        batches=batches,
        ranks=ranks,
        precision=precision,
        kernels=kernels.name,
        pad_id=opened.dataset.vocabulary.pad,
        scaler=resumed.state.scaler,
    )
    desk = None
    if ranks.is_first:
        start = _start_record(opened, ranks, model, attempt, resumed, precision, kernels)
        warnings = _warnings(resumed, kernels)
        desk = _open_desk(opened, start, warnings=warnings, stop_signal=stop_signal)
        _write_provenance(opened, ranks)
    parts = Parts(
        recipe=recipe,
        paths=opened.paths,
        ranks=ranks,
        model=model,
        optimizers=optimizers,
        batches=batches,
        updater=updater,
        validator=_validator(opened, masker, ranks),
        tokenizer_dir=opened.dataset.tokenizer_dir,
        device_name=device_name(ranks.device),
        desk=desk,
    )
    return Trainer(parts, resumed.state)


def encoder_config(opened: OpenedRun) -> EncoderConfig:
    """The model's shape: the recipe's, and the vocabulary's size."""
    section = opened.recipe.model
    return EncoderConfig(
        vocab_size=opened.dataset.vocabulary.size,
        max_positions=opened.recipe.data.sequence_length,
        layers=section.layers,
        width=section.width,
        heads=section.heads,
        ffn=section.ffn,
        norm=section.norm,
        embedding_norm=section.embedding_norm,
        activation=section.activation,
        positions=section.positions,
        bias=section.bias,
        depth_scaled_init=section.depth_scaled_init,
        dropout=section.dropout,
        attention_dropout=section.attention_dropout,
    )


def device_name(device: torch.device) -> str:
    """For people: the GPU's product name, or the processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with Path("/proc/cpuinfo").open() as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _set_up_device(ranks: Ranks) -> None:
    if ranks.device.type == "cpu":
        # Early softmax gradients are full of denormals, which CPUs handle up to 20 times slower.
        torch.set_flush_denormal(True)
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks.world_size))
    else:
        torch.set_float32_matmul_precision("high")


def _resume(opened: OpenedRun, *, model: MaskedLanguageModel, optimizers: Optimizers) -> Resumed:
    found = find_checkpoint(opened.paths.checkpoints)
    if found is None:
        fresh = TrainingState(
            step=0,
            sequences=0,
            charged_s=0.0,
            recipe_sha256=opened.recipe_sha256,
            data_fingerprint=opened.dataset.fingerprint,
        )
        return Resumed(state=fresh, skipped=[], start_from=_first_weights(opened, model))
    state = load_checkpoint(found.folder, model=model, optimizers=optimizers)
    if state.data_fingerprint != opened.dataset.fingerprint:
        raise CheckpointError(
            f"{found.folder}: was trained on other data than {opened.dataset.root}; restore the data set it names, "
            f"fingerprint {state.data_fingerprint[:12]}, or submit a new run"
        )
    if state.recipe_sha256 != opened.recipe_sha256:
        raise CheckpointError(f"{found.folder}: recipe.toml was changed since; restore it, or submit a new run")
    return Resumed(state=state, skipped=found.skipped)


def _first_weights(opened: OpenedRun, model: MaskedLanguageModel) -> str | None:
    """Put the recipe's checkpoint into the model, if it names one; every rank reads it for itself."""
    source = opened.recipe.model.start_from
    if source is None:
        return None
    family = load_pretrained(model, source, entries=opened.dataset.vocabulary.entries)
    return f"{family} of {source}"


def _masker(opened: OpenedRun) -> Masker:
    section, length = opened.recipe.masking, opened.recipe.data.sequence_length
    return Masker(
        seed=opened.recipe.run.seed,
        rate=section.rate,
        max_predictions=section.predictions(length),
        replace=section.replace,
        vocabulary=opened.dataset.vocabulary,
        sequence_length=length,
    )


def _train_batches(opened: OpenedRun, masker: Masker, ranks: Ranks, *, first_sequence: int) -> TrainBatches:
    recipe = opened.recipe
    return TrainBatches(
        sequences=opened.train,
        masker=masker,
        seed=recipe.run.seed,
        global_batch=recipe.batch.sequences,
        micro_batch=recipe.batch.micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=ranks.device,
        first_sequence=first_sequence,
    )


def _validator(opened: OpenedRun, masker: Masker, ranks: Ranks) -> Validator:
    fixed = validation_batches(
        sequences=opened.validation,
        masker=masker,
        micro_batch=opened.recipe.batch.micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        max_sequences=opened.recipe.validation.max_sequences,
        device=ranks.device,
    )
    return Validator(list(fixed), vocab_size=opened.dataset.vocabulary.size, ranks=ranks)


def _start_record(
    opened: OpenedRun,
    ranks: Ranks,
    model: MaskedLanguageModel,
    attempt: int,
    resumed: Resumed,
    precision: Precision,
    kernels: Kernels,
) -> StartRecord:
    recipe = opened.recipe
    return StartRecord(
        t=time.time(),
        attempt=attempt,
        step=resumed.state.step,
        sequences=resumed.state.sequences,
        start_from=resumed.start_from,
        charged_s=ChargedClock(opened.paths.ledger).now_s(),
        world_size=ranks.world_size,
        device=ranks.device.type,
        device_name=device_name(ranks.device),
        precision=precision.mode,
        kernels=kernels.name,
        kernels_reason=kernels.reason,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        micro_batch=recipe.batch.micro,
        accumulation=recipe.accumulation,
        sequence_length=recipe.data.sequence_length,
        train_sequences=opened.train.num_sequences,
        validation_sequences=min(recipe.validation.max_sequences, opened.validation.num_sequences),
    )


def _warnings(resumed: Resumed, kernels: Kernels) -> dict[str, str]:
    """What somebody should know before the first step: code and message."""
    warnings = {}
    if resumed.skipped:
        passed = "; ".join(resumed.skipped)
        warnings["checkpoint_skipped"] = f"passed over {passed}; resumed from step {resumed.state.step}"
    if kernels.apex.faults:
        warnings["apex_incomplete"] = f"PyTorch's own takes their place: {kernels.apex.describe_faults()}"
    return warnings


def _open_desk(opened: OpenedRun, start: StartRecord, *, warnings: dict[str, str], stop_signal: Event) -> Desk:
    acknowledged = last_acknowledged(read_journal(opened.paths.journal))
    journal = JournalWriter(opened.paths.journal)
    journal.append(start)
    for code, message in warnings.items():
        journal.append(AlertRecord(t=time.time(), step=start.step, level="warning", code=code, message=message))
    conductor = Conductor(
        opened.recipe,
        opened.paths,
        clock=ChargedClock(opened.paths.ledger),
        acknowledged=acknowledged,
        stop_signal=stop_signal,
    )
    return Desk(opened.recipe, conductor=conductor, journal=journal)


def _write_provenance(opened: OpenedRun, ranks: Ranks) -> None:
    provenance = Provenance(
        bertd=bertd.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: version(name) for name in _PACKAGES},
        device_name=device_name(ranks.device),
        world_size=ranks.world_size,
        recipe_sha256=opened.recipe_sha256,
        data_fingerprint=opened.dataset.fingerprint,
    )
    write_whole(opened.paths.provenance, provenance.model_dump_json(indent=1))

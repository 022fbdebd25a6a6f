"""Puts a trainer together from a run folder: recipe, data, model, checkpoint, and on rank 0 the desk."""

from __future__ import annotations

import os
import time
from threading import Event

import torch

from bertd.data.batches import TrainBatches, validation_batches
from bertd.data.frequency import token_shares
from bertd.data.masking import Masker
from bertd.model.encoder import MaskedLanguageModel
from bertd.model.flops import peak_flops, why_no_mfu
from bertd.records import AlertRecord, StartRecord
from bertd.run.beats import UNWATCHED, Pulse
from bertd.run.budget import plan_of
from bertd.run.journal import JournalWriter, read_journal
from bertd.run.ledger import TICK_S, ChargedClock, boot_id
from bertd.run.mailbox import last_acknowledged
from bertd.run.recipe import Recipe
from bertd.train.beginning import Resumed, resume
from bertd.train.checkpoint import TrainingState
from bertd.train.desk import Desk
from bertd.train.execution import Execution, decide_execution
from bertd.train.forward import Forward
from bertd.train.host_cpu import set_up_cpu
from bertd.train.kernels import Kernels
from bertd.train.opened_run import OpenedRun, masker_of, validation_masker_of
from bertd.train.optimizer import Optimizers, build_optimizers
from bertd.train.orders import Conductor
from bertd.train.patient_journal import PatientJournal
from bertd.train.provenance import device_name, write_provenance
from bertd.train.ranks import Ranks
from bertd.train.room import room_for_run
from bertd.train.saving import Saver
from bertd.train.trainer import Parts, Trainer
from bertd.train.trial import build_model
from bertd.train.update import Updater
from bertd.train.validation import Validator

_FORGOTTEN_S = 2 * TICK_S
"""What a ledger may be short of after a kill, and a moment."""


def assemble(opened: OpenedRun, *, ranks: Ranks, attempt: int, stop_signal: Event, pulse: Pulse = UNWATCHED) -> Trainer:
    """Build everything and resume from the newest valid checkpoint.

    Raises:
        CheckpointError: none is whole, or it belongs to another recipe or other data; or start_from does not fit.
        DeviceError: the precision or the kernels are not to be had on this device.
        ShardError: not one token of the validation set is predicted.
        StorageError: the disk cannot hold a run that has not begun.
    """
    recipe = opened.recipe
    _set_up_device(ranks)
    execution = decide_execution(opened, ranks=ranks)
    kernels, micro = execution.kernels, execution.micro.sequences
    model = build_model(execution.setting, kernels.apex)
    optimizers = build_optimizers(
        model, recipe.optimizer, apex=kernels.apex, rank=ranks.rank, world_size=ranks.world_size
    )
    resumed = resume(opened, model=model, optimizers=optimizers, ranks=ranks)
    masker = masker_of(recipe, opened.dataset.vocabulary)
    batches = _train_batches(opened, masker, ranks, micro=micro, state=resumed.state)
    updater = _updater(recipe, execution, ranks, model=model, optimizers=optimizers, batches=batches, resumed=resumed)
    desk = saver = None
    if ranks.is_first:
        start = _start_record(opened, ranks, model, attempt, resumed, execution, batches)
        warnings = _warnings(resumed, kernels, charged_s=start.charged_s) | _device_warnings(ranks)
        warnings |= _bias_warnings(recipe, resumed)
        warnings |= _disk_warnings(opened, model, resumed)
        desk = _open_desk(opened, start, warnings=warnings, stop_signal=stop_signal)
        write_provenance(opened, ranks)
        saver = _saver(opened, desk, model=model, optimizers=optimizers)
    parts = Parts(
        recipe=recipe,
        paths=opened.paths,
        ranks=ranks,
        model=model,
        optimizers=optimizers,
        batches=batches,
        updater=updater,
        validator=_validator(opened, ranks, micro=micro),
        dataset=opened.dataset,
        # What is kept of data sheets is the peak in 16 bits.
        peak_flops=None if execution.setting.precision.dtype is None else peak_flops(device_name(ranks.device)),
        desk=desk,
        saver=saver,
        pulse=pulse,
    )
    return Trainer(parts, resumed.state)


def _set_up_device(ranks: Ranks) -> None:
    if ranks.device.type == "cpu":
        set_up_cpu()
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks.world_size))


def _train_batches(
    opened: OpenedRun, masker: Masker, ranks: Ranks, *, micro: int, state: TrainingState
) -> TrainBatches:
    recipe = opened.recipe
    progress = recipe.granted.progress(charged_s=state.charged_s, steps=state.step, sequences=state.sequences)
    return TrainBatches(
        sequences=opened.train,
        masker=masker,
        seed=recipe.run.seed,
        global_batch=recipe.batch.sequences_at(progress),
        micro_batch=micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=ranks.device,
        first_sequence=state.sequences,
    )


def _updater(
    recipe: Recipe,
    execution: Execution,
    ranks: Ranks,
    *,
    model: MaskedLanguageModel,
    optimizers: Optimizers,
    batches: TrainBatches,
    resumed: Resumed,
) -> Updater:
    setting = execution.setting
    forward = Forward(
        model,
        ranks=ranks,
        precision=setting.precision,
        kernels=execution.kernels.name,
        attention=execution.attention.backends,
        pad_id=setting.pad_id,
    )
    return Updater(
        recipe,
        model=model,
        forward=forward,
        optimizers=optimizers,
        batches=batches,
        ranks=ranks,
        precision=setting.precision,
        scaler=resumed.state.scaler,
    )


def _saver(opened: OpenedRun, desk: Desk, *, model: MaskedLanguageModel, optimizers: Optimizers) -> Saver:
    return Saver(
        opened.recipe,
        opened.paths,
        desk=desk,
        model=model,
        optimizers=optimizers,
        dataset=opened.dataset,
    )


def _validator(opened: OpenedRun, ranks: Ranks, *, micro: int) -> Validator:
    fixed = validation_batches(
        sequences=opened.validation,
        masker=validation_masker_of(opened.recipe, opened.dataset.vocabulary),
        micro_batch=micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        max_sequences=opened.recipe.validation.max_sequences,
        device=ranks.device,
    )
    shares_V = torch.from_numpy(token_shares(opened.dataset))
    return Validator(list(fixed), shares_V=shares_V, ranks=ranks)


def _start_record(
    opened: OpenedRun,
    ranks: Ranks,
    model: MaskedLanguageModel,
    attempt: int,
    resumed: Resumed,
    execution: Execution,
    batches: TrainBatches,
) -> StartRecord:
    recipe, kernels = opened.recipe, execution.kernels
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
        precision=execution.setting.precision.mode,
        kernels=kernels.name,
        kernels_reason=kernels.reason,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        attention=", ".join(execution.attention.names),
        attention_reason=execution.attention.reason,
        micro_batch=execution.micro.sequences,
        micro_batch_reason=execution.micro.reason,
        accumulation=batches.accumulation,
        empty_rows=recipe.batch.num_empty(
            batches.global_batch, micro=execution.micro.sequences, num_devices=ranks.world_size
        ),
        sequence_length=recipe.data.sequence_length,
        train_sequences=opened.train.num_sequences,
        boot_id=boot_id(),
        validation_sequences=min(recipe.validation.max_sequences, opened.validation.num_sequences),
    )


def _warnings(resumed: Resumed, kernels: Kernels, *, charged_s: float) -> dict[str, str]:
    """What somebody should know before the first step: code and message."""
    warnings = {}
    if resumed.skipped:
        passed = "; ".join(resumed.skipped)
        warnings["checkpoint_skipped"] = f"passed over {passed}; resumed from step {resumed.state.step}"
    if resumed.state.charged_s > charged_s + _FORGOTTEN_S:
        warnings["ledger_behind"] = (
            f"the ledger has {charged_s:.0f} s, and the checkpoint was saved at {resumed.state.charged_s:.0f} s: the "
            "budget is longer by as much; `bertd budget` shrinks it"
        )
    if kernels.apex.faults:
        warnings["apex_incomplete"] = f"PyTorch's own takes their place: {kernels.apex.describe_faults()}"
    return warnings


def _bias_warnings(recipe: Recipe, resumed: Resumed) -> dict[str, str]:
    if resumed.start_from is None or recipe.model.head_bias == "zero":
        return {}
    message = (
        f'[model] head_bias = "{recipe.model.head_bias}" has no effect: the output bias is that of '
        f"{resumed.start_from}; --set model.head_bias=zero says so"
    )
    return {"head_bias_unused": message}


def _device_warnings(ranks: Ranks) -> dict[str, str]:
    problem = why_no_mfu(device_name(ranks.device)) if ranks.device.type == "cuda" else None
    return {"unknown_gpu": problem} if problem else {}


def _disk_warnings(opened: OpenedRun, model: MaskedLanguageModel, resumed: Resumed) -> dict[str, str]:
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    is_fresh = resumed.state.step == 0
    problem = room_for_run(opened.paths, opened.recipe.checkpoint, num_parameters=num_parameters, is_fresh=is_fresh)
    return {"disk_low": problem} if problem else {}


def _open_desk(opened: OpenedRun, start: StartRecord, *, warnings: dict[str, str], stop_signal: Event) -> Desk:
    records = read_journal(opened.paths.journal)
    journal = PatientJournal(JournalWriter(opened.paths.journal))
    journal.append(start)
    for code, message in warnings.items():
        journal.append(AlertRecord(t=time.time(), step=start.step, level="warning", code=code, message=message))
    conductor = Conductor(
        opened.recipe,
        opened.paths,
        clock=ChargedClock(opened.paths.ledger),
        acknowledged=last_acknowledged(records),
        stop_signal=stop_signal,
        plan=plan_of(opened.recipe.granted, [*records, start]),
    )
    return Desk(conductor=conductor, journal=journal)

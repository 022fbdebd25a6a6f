"""Build a trainer from a run folder: data, model, checkpoint, and on rank 0 the journal, mailbox and ledger."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from threading import Event

import torch

from bertd.data.batches.batches import TrainBatches, validation_batches
from bertd.data.batches.masking import Masker
from bertd.data.dataset.unigram import token_shares
from bertd.model.encoder import MaskedLanguageModel
from bertd.records import DevicesRecord
from bertd.run.forecast.earlier_runs import find_earlier_runs, newest_run_folders
from bertd.run.job_energy import read_job_energy
from bertd.run.journal import JournalWriter
from bertd.run.journal_digest import JournalDigest, read_digest
from bertd.run.ledger import ChargedClock
from bertd.run.machine.gpu_datasheet import peak_flops
from bertd.run.pause_mark import read_pause_mark
from bertd.run.ranks.heartbeat import NO_HEARTBEAT, Heartbeat
from bertd.run.ranks.meeting import MEETING_VARIABLE
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.choose import ExecutionPlan, choose_execution
from bertd.train.autotune.rehearsal import settle_micro_batch
from bertd.train.autotune.speed_probe import build_model
from bertd.train.backends.cpu_tuning import tune_cpu
from bertd.train.checkpoint.async_saver import AsyncCheckpointer, Checkpointer
from bertd.train.checkpoint.resume import StartingPoint, load_or_initialize
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.budget_tracker import BudgetTracker, NoClock
from bertd.train.loop.buffered_journal import BufferedJournalWriter, NoJournal
from bertd.train.loop.commands import PendingCommands
from bertd.train.loop.components import TrainerComponents
from bertd.train.loop.control import StepController
from bertd.train.loop.forecaster import Forecaster
from bertd.train.loop.loss_fn import ForwardPass
from bertd.train.loop.reporting import Reporter
from bertd.train.loop.startup import StartupTimer
from bertd.train.loop.train_step import TrainStep
from bertd.train.loop.trainer import Trainer
from bertd.train.loop.validation import Validator
from bertd.train.machine_warnings import collect_machine_warnings
from bertd.train.optim.optimizer import Optimizers, build_optimizers
from bertd.train.provenance import device_name, write_provenance
from bertd.train.run_inputs import RunInputs, build_masker, build_validation_masker
from bertd.train.start_report import build_start_record, collect_start_warnings
from bertd.train.state import ScalerState, TrainState

_MEETING_S = 30.0
"""For the runner to begin to charge after all machines have met; it looks each second."""


def build_trainer(
    run_inputs: RunInputs,
    *,
    ranks: Ranks,
    attempt: int,
    stop_signal: Event,
    heartbeat: Heartbeat = NO_HEARTBEAT,
    startup: StartupTimer | None = None,
) -> Trainer:
    """Build everything and resume from the newest valid checkpoint; `startup` counts from the launch, or from here.

    Raises:
        CheckpointError: no checkpoint is valid, or it belongs to another recipe or other data; or start_from does not
            fit.
        DeviceError: this device does not support the precision or the kernels.
        ShardError: not one token of the validation set is predicted.
        StorageError: the disk is too small for a run that has not started.
    """
    recipe = run_inputs.recipe
    startup = startup or StartupTimer()
    _set_up_device(ranks)
    with startup.choosing():
        execution = choose_execution(run_inputs, ranks=ranks)
    kernels = execution.kernels
    with startup.building():
        model = build_model(execution.setup, kernels.apex)
        optimizers = build_optimizers(
            model, recipe.optimizer, apex=kernels.apex, rank=ranks.rank, world_size=ranks.world_size
        )
        starting_point = load_or_initialize(run_inputs, model=model, optimizers=optimizers, ranks=ranks)
        forward = _build_forward_pass(execution, ranks, model)
        settled = settle_micro_batch(
            execution.setup, execution.micro, forward=forward, optimizers=optimizers, ranks=ranks
        )
    execution = replace(execution, micro=settled)
    micro = settled.sequences
    masker = build_masker(recipe, run_inputs.dataset.vocabulary)
    batches = _open_train_batches(run_inputs, masker, ranks, micro=micro, state=starting_point.state)
    train_step = _build_train_step(
        recipe, execution, ranks, model, forward, optimizers, batches, scaler=starting_point.state.scaler
    )
    if ranks.is_first:
        bookkeeping = _open_bookkeeping(
            run_inputs, ranks, model, optimizers, attempt, starting_point, execution, batches
        )
        write_provenance(run_inputs, ranks)
    else:
        bookkeeping = _no_bookkeeping(recipe)
    components = TrainerComponents(
        recipe=recipe,
        paths=run_inputs.paths,
        ranks=ranks,
        model=model,
        optimizers=optimizers,
        batches=batches,
        train_step=train_step,
        validator=_build_validator(run_inputs, ranks, micro=micro),
        budget=bookkeeping.budget,
        commands=bookkeeping.commands,
        reporter=bookkeeping.reporter,
        checkpointer=bookkeeping.checkpointer,
        controller=bookkeeping.make_controller(stop_signal),
        startup=startup,
        attempt=attempt,
        # run/machine/gpu_datasheet.py has the peak FLOP/s for 16 bits only.
        peak_flops=None if execution.setup.precision.dtype is None else peak_flops(device_name(ranks.device)),
        heartbeat=heartbeat,
    )
    return Trainer(components, starting_point.state)


def _change_of_machines(
    run_inputs: RunInputs, ranks: Ranks, digest: JournalDigest, clock: ChargedClock
) -> DevicesRecord | None:
    """The record of an attempt with other machines than the one before; GPU-hours count its ranks from its start on.

    Where the daemon changed the number of devices, it has written the record.
    """
    before = digest.progress.num_devices
    if MEETING_VARIABLE not in os.environ or before in (None, ranks.world_size):
        return None
    return DevicesRecord(
        t=time.time(),
        step=digest.progress.step,
        charged_s=clock.segment_charged_s,
        before=before,
        after=ranks.world_size,
    )


def _set_up_device(ranks: Ranks) -> None:
    if ranks.device.type == "cpu":
        tune_cpu()
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks.num_local))


def _open_train_batches(
    run_inputs: RunInputs, masker: Masker, ranks: Ranks, *, micro: int, state: TrainState
) -> TrainBatches:
    recipe = run_inputs.recipe
    progress = recipe.granted.progress(charged_s=state.charged_s, steps=state.step, sequences=state.sequences)
    return TrainBatches(
        sequences=run_inputs.train,
        masker=masker,
        seed=recipe.run.seed,
        global_batch=recipe.batch.sequences_at(progress),
        micro_batch=micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        device=ranks.device,
        first_sequence=state.sequences,
    )


def _build_forward_pass(execution: ExecutionPlan, ranks: Ranks, model: MaskedLanguageModel) -> ForwardPass:
    return ForwardPass(
        model,
        ranks=ranks,
        precision=execution.setup.precision,
        kernels=execution.kernels.name,
        compile_unit=execution.setup.recipe.precision.compile_unit,
        searches_products=execution.setup.recipe.precision.product_search,
        attention=execution.attention.backends,
        packed_attention=execution.attention.packed,
        pad_id=execution.setup.pad_id,
    )


def _build_train_step(
    recipe: Recipe,
    execution: ExecutionPlan,
    ranks: Ranks,
    model: MaskedLanguageModel,
    forward: ForwardPass,
    optimizers: Optimizers,
    batches: TrainBatches,
    *,
    scaler: ScalerState | None,
) -> TrainStep:
    return TrainStep(
        recipe,
        model=model,
        forward=forward,
        optimizers=optimizers,
        batches=batches,
        ranks=ranks,
        precision=execution.setup.precision,
        scaler=scaler,
    )


def _build_validator(run_inputs: RunInputs, ranks: Ranks, *, micro: int) -> Validator:
    fixed_batches = validation_batches(
        sequences=run_inputs.validation,
        masker=build_validation_masker(run_inputs.recipe, run_inputs.dataset.vocabulary),
        micro_batch=micro,
        rank=ranks.rank,
        world_size=ranks.world_size,
        max_sequences=run_inputs.recipe.validation.max_sequences,
        device=ranks.device,
    )
    shares_V = torch.from_numpy(token_shares(run_inputs.dataset))
    return Validator(list(fixed_batches), shares_V=shares_V, ranks=ranks)


@dataclass(frozen=True)
class _Bookkeeping:
    """The parts that work on rank 0 alone: budget, mailbox, journal and checkpoints."""

    budget: BudgetTracker
    commands: PendingCommands
    reporter: Reporter
    checkpointer: Checkpointer
    pause_mark_s: float | None = None

    def make_controller(self, stop_signal: Event) -> StepController:
        return StepController(
            budget=self.budget,
            commands=self.commands,
            checkpointer=self.checkpointer,
            reporter=self.reporter,
            stop_signal=stop_signal,
            pause_mark_s=self.pause_mark_s,
        )


def _no_bookkeeping(recipe: Recipe) -> _Bookkeeping:
    """Build the same parts for the other ranks, where they do nothing."""
    journal = NoJournal()
    budget = BudgetTracker(recipe, clock=NoClock())
    return _Bookkeeping(
        budget=budget,
        commands=PendingCommands(None, journal=journal),
        reporter=Reporter(budget=budget, journal=journal),
        checkpointer=Checkpointer(),
    )


def _open_bookkeeping(
    run_inputs: RunInputs,
    ranks: Ranks,
    model: MaskedLanguageModel,
    optimizers: Optimizers,
    attempt: int,
    starting_point: StartingPoint,
    execution: ExecutionPlan,
    batches: TrainBatches,
) -> _Bookkeeping:
    """Open ledger, mailbox and journal where the last attempt left them, and report the start of this one."""
    recipe, paths = run_inputs.recipe, run_inputs.paths
    start = build_start_record(run_inputs, ranks, model, attempt, starting_point, execution, batches)
    warnings = collect_start_warnings(run_inputs, ranks, model, starting_point, execution, charged_s=start.charged_s)
    if attempt == 1 and ranks.is_first:
        warnings |= collect_machine_warnings(device=ranks.device.type, num_ranks=ranks.world_size)
    clock = ChargedClock(paths.ledger, wait_s=_MEETING_S if MEETING_VARIABLE in os.environ else 0.0)
    digest = read_digest(paths.journal)
    journal = BufferedJournalWriter(JournalWriter(paths.journal))
    for record in (_change_of_machines(run_inputs, ranks, digest, clock), start):
        if record is not None:
            digest = digest.with_record(record)
            journal.append(record)
    progress = digest.progress
    budget = BudgetTracker(recipe, clock=clock, plan=progress.budget_plan(recipe.granted))
    commands = PendingCommands(paths.control, journal=journal, acknowledged=progress.acknowledged)
    earlier = find_earlier_runs(newest_run_folders(paths.root.parent), recipe, own=paths.root)
    forecaster = Forecaster(recipe, curve=digest.curve, earlier=earlier)
    reporter = Reporter(
        budget=budget, journal=journal, forecaster=forecaster, read_energy=lambda: read_job_energy(paths)
    )
    for code, message in warnings.items():
        reporter.alert(starting_point.state, code=code, message=message)
    checkpointer = AsyncCheckpointer(
        recipe,
        paths,
        budget=budget,
        commands=commands,
        reporter=reporter,
        model=model,
        optimizers=optimizers,
        dataset=run_inputs.dataset,
    )
    pause_mark_s = read_pause_mark(paths.pause_mark)
    return _Bookkeeping(budget, commands, reporter, checkpointer, pause_mark_s)

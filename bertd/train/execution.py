"""How a run is computed where its recipe leaves that open: precision, attention, kernels, micro-batch, in this order.

None of it changes the mathematics but for rounding, and for which numbers dropout draws. So that a paused run goes on
bit for bit, an attempt takes over what the one before measured, as the journal tells it, on the same kind of device.
"""

from __future__ import annotations

from dataclasses import dataclass

from bertd.records import StartRecord
from bertd.run.journal import read_journal
from bertd.train.apex import Apex
from bertd.train.attention import BACKENDS, Attention, AttentionWork, choose_attention
from bertd.train.kernels import Kernels, choose_kernels
from bertd.train.micro_batch import MicroBatch, choose_micro_batch, trial_size
from bertd.train.opened_run import OpenedRun, encoder_config
from bertd.train.precision import choose_precision
from bertd.train.provenance import device_name
from bertd.train.ranks import Ranks
from bertd.train.trial import Setting

_NAMES = ("compile", "eager", "apex")


@dataclass(frozen=True)
class Execution:
    """What was decided; the same on every rank."""

    setting: Setting
    attention: Attention
    kernels: Kernels
    micro: MicroBatch


@dataclass(frozen=True)
class Earlier:
    """What an earlier attempt of the run decided."""

    attention: Attention
    kernels: Kernels
    micro: MicroBatch


def decide_execution(opened: OpenedRun, *, ranks: Ranks) -> Execution:
    """Decide, and measure where the recipe says auto; every rank must call.

    Raises:
        DeviceError: the precision or the kernels are not to be had on this device, or no micro-batch fits it.
    """
    recipe = opened.recipe
    setting = Setting(
        recipe=recipe,
        config=encoder_config(recipe, vocab_size=opened.dataset.vocabulary.size),
        device=ranks.device,
        precision=choose_precision(recipe.precision, ranks.device),
        pad_id=opened.dataset.vocabulary.pad if recipe.data.packing == "sentences" else None,
    )
    earlier = _share_earlier(_earlier(opened, setting, ranks) if ranks.is_first else None, ranks)
    size = trial_size(recipe, is_cpu=ranks.device.type == "cpu")
    if earlier is not None:
        attention = earlier.attention
    else:
        is_masked = setting.pad_id is not None
        length = recipe.data.sequence_length
        predictions = recipe.masking.predictions(length)
        work = AttentionWork.of(setting.config, micro=size, length=length, predictions=predictions, is_masked=is_masked)
        attention = choose_attention(work, precision=setting.precision, ranks=ranks)
    measured = None if earlier is None else earlier.kernels
    kernels = choose_kernels(setting, attention=attention, micro=size, ranks=ranks, earlier=measured)
    if earlier is not None and recipe.batch.micro == "auto":
        micro = earlier.micro
    else:
        micro = choose_micro_batch(setting, kernels=kernels, attention=attention, ranks=ranks)
    return Execution(setting=setting, attention=attention, kernels=kernels, micro=micro)


def _earlier(opened: OpenedRun, setting: Setting, ranks: Ranks) -> StartRecord | None:
    """The last attempt's choices, if it ran on the same."""
    starts = [record for record in read_journal(opened.paths.journal) if isinstance(record, StartRecord)]
    here = (device_name(ranks.device), ranks.world_size, setting.precision.mode)
    if starts and (starts[-1].device_name, starts[-1].world_size, starts[-1].precision) == here:
        return starts[-1]
    return None


def _share_earlier(start: StartRecord | None, ranks: Ranks) -> Earlier | None:
    """Rank 0 passes what it read, the others None; the reasons stay with rank 0, which writes them."""
    names, values = list(BACKENDS), [-1.0] * (2 + len(BACKENDS))
    if start is not None:
        order = [names.index(name) for name in start.attention.split(", ") if name in names]
        values = [_NAMES.index(start.kernels), start.micro_batch, *order]
        values += [-1.0] * (2 + len(names) - len(values))
    kernels, micro, *order = (int(value) for value in ranks.share([float(value) for value in values]))
    if kernels < 0:
        return None
    reasons = ("", "", "")
    if start is not None:
        reasons = (start.attention_reason, start.kernels_reason, start.micro_batch_reason)
    return Earlier(
        Attention(tuple(names[index] for index in order if index >= 0), reasons[0]),
        Kernels(_NAMES[kernels], reasons[1], Apex()),
        MicroBatch(micro, reasons[2]),
    )

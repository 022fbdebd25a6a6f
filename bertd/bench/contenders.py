"""Who is compared: this model with its savings on or off, stock BertForMaskedLM, and torch's own encoder.

All get what can be given to all: the same weights' shapes, masks and dropout, the same fused AdamW, attention without a
mask on full windows, gradient accumulation over micro-batches, set_to_none. What differs is the model's code. One more
row is a whole run: the trainer's own update, with the recipe's optimizer and its data path.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import FunctionType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import sdpa_kernel

from bertd.bench.work import Batch, Work, train_batches
from bertd.model.encoder import MaskedLanguageModel, gather_positions
from bertd.model.families import ACTIVATIONS
from bertd.train.apex import use_fused_modules
from bertd.train.attention import AttentionWork, choose_attention
from bertd.train.float8 import use_float8
from bertd.train.forward import Forward, attention_tag
from bertd.train.optimizer import build_optimizers
from bertd.train.ranks import Ranks
from bertd.train.update import Updater

Update = Callable[[], Tensor]
"""Does one update; returns the mean loss over the batch (a whole run: since it began), without waiting for it."""
Loss = Callable[[Batch], Tensor]
"""Mean cross-entropy of a micro-batch's predicted tokens."""


@dataclass(frozen=True)
class Contender:
    """Something that can do the work."""

    name: str
    model: Literal["ours", "bert", "torch", "run"]
    """run is ours with all that a run does besides."""
    compiled: bool
    head: Literal["sparse", "dense"] = "sparse"
    """ours only: the head at the predicted positions, or everywhere as stock models have it."""
    last_layer: Literal["subset", "whole"] = "subset"
    """ours only: the last layer at the predicted positions, or everywhere."""
    gradient: Literal["with the loss", "by autograd"] = "with the loss"
    """ours only: how the loss's gradient by the scores comes about."""
    dropout: bool = True
    """False turns the recipe's dropout off."""
    packing: Literal["full", "sentences"] = "full"
    """ours only: full windows, or rows with padding that attention masks; then its useful share is what counts."""
    attention: Literal["PyTorch's", "measured"] = "PyTorch's"
    """ours only: the kernel that PyTorch prefers, or the fastest measured."""
    apex: bool = False
    """ours only: with what of NVIDIA's apex works here."""
    freed_pages: Literal["kept", "returned"] = "kept"
    """Host memory that an update frees: kept for the next, as bertd's ranks do, or returned to the kernel, as a script
    that asks for nothing does."""

    def fill(self, work: Work) -> float:
        """Share of its rows that is text."""
        if self.model == "run":
            return work.recipe_fill
        return work.padded.fill if self.packing == "sentences" else 1.0


@dataclass(frozen=True)
class Built:
    """A contender that can do the work, and what it keeps of a device's memory between updates."""

    update: Update
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    close: Callable[[], None] = lambda: None
    """Ends what runs beside it."""

    def move(self, device: torch.device) -> None:
        """Take weights and moments to a device, so that the others have the memory of the one they leave."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.model.to(device)
        for state in (state for optimizer in self.optimizers for state in optimizer.state.values()):
            for name, value in state.items():
                # The count of steps stays where fused kernels want it.
                if isinstance(value, Tensor) and value.dim() > 0:
                    state[name] = value.to(device)


def build(contender: Contender, work: Work, *, micro: int) -> Built:
    """A contender ready to do updates of the work in micro-batches of `micro`."""
    if contender.model == "run":
        return _build_run(contender, work, micro=micro)
    if not contender.dropout:
        work = work.without_dropout()
    model, loss_of = model_and_loss(contender, work)
    model.to(work.device).train()
    is_measured = contender.attention == "measured" and work.attention.backends
    attention = list(work.attention.backends) if is_measured else []
    if contender.compiled:
        torch.compiler.config.cache_key_tag = attention_tag(attention)
        loss_of = torch.compile(_with_own_code(loss_of), fullgraph=True, dynamic=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=work.peak_lr, fused=True)
    starts = range(0, work.num_sequences, micro)
    batch = work.batch if contender.packing == "full" else work.padded
    parts = [batch.rows(start, start + micro) for start in starts]
    dtype = work.precision.dtype

    def update() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=work.device)
        for part in parts:
            with ExitStack() as context:
                if dtype is not None:
                    context.enter_context(torch.autocast(work.device.type, dtype=dtype))
                if attention:
                    context.enter_context(sdpa_kernel(attention, set_priority=True))
                loss = loss_of(part) / len(parts)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += loss.detach()
        optimizer.step()
        return total

    return Built(update, model=model, optimizers=[optimizer])


_numbers = itertools.count()


def _with_own_code(loss_of: Loss) -> Loss:
    """The same function with code of its own: the compiler keeps graphs by code, blind to the attention kernel."""
    assert isinstance(loss_of, FunctionType)
    code = loss_of.__code__.replace(co_name=f"{loss_of.__name__}_{next(_numbers)}")
    return FunctionType(code, loss_of.__globals__, closure=loss_of.__closure__)


def _build_run(contender: Contender, work: Work, *, micro: int) -> Built:
    """What a rank of a run does: read, mask, accumulate, step by the recipe's optimizer."""
    assert work.dataset is not None
    recipe, alone = work.recipe, Ranks(rank=0, world_size=1, device=work.device, control=None)
    model = MaskedLanguageModel(work.config, seed=recipe.run.seed).to(work.device).train()
    if work.precision.mode == "fp8":
        use_float8(model)
    is_padded = recipe.data.packing == "sentences"
    attention = work.attention
    if is_padded:
        attention_work = AttentionWork.of(
            work.config, micro=micro, length=work.sequence_length, predictions=work.predictions, is_masked=True
        )
        attention = choose_attention(attention_work, precision=work.precision, ranks=alone)
    forward = Forward(
        model,
        ranks=alone,
        precision=work.precision,
        kernels="compile" if contender.compiled else "eager",
        attention=attention.backends,
        pad_id=work.dataset.vocabulary.pad if is_padded else None,
    )
    optimizers = build_optimizers(model, recipe.optimizer)
    batches = train_batches(recipe, work.dataset, num_sequences=work.num_sequences, micro=micro, device=work.device)
    updater = Updater(
        recipe,
        model=model,
        forward=forward,
        optimizers=optimizers,
        batches=batches,
        ranks=alone,
        precision=work.precision,
        scaler=None,
    )
    steps = itertools.count()

    def update() -> Tensor:
        updater.update(step=next(steps), lr=work.peak_lr, wants_norm=False)
        return updater.unread_loss

    return Built(update, model=model, optimizers=optimizers.parts, close=batches.close)


def model_and_loss(contender: Contender, work: Work) -> tuple[nn.Module, Loss]:
    """The contender's model, on CPU, and its loss of a micro-batch."""
    return _MODELS[contender.model](contender, work)


def _ours(contender: Contender, work: Work) -> tuple[nn.Module, Loss]:
    model = MaskedLanguageModel(work.config, seed=1)
    if work.precision.mode == "fp8":
        use_float8(model)
    if contender.apex:
        use_fused_modules(model.to(work.device), work.apex)
    tokens = model.encoder.embeddings.tokens

    def sparse(batch: Batch) -> Tensor:
        loss_sum: Tensor = model(batch.inputs_NS, batch.positions_NM, batch.labels_NM, batch.keep_NS)
        return loss_sum / batch.labels_NM.numel()

    def by_autograd(batch: Batch) -> Tensor:
        x_NMD = model.encoder(batch.inputs_NS, keep_BS=batch.keep_NS, only_BM=batch.positions_NM)
        return _cross_entropy(model.head(x_NMD, tokens.weight), batch.labels_NM)

    def whole_last_layer(batch: Batch) -> Tensor:
        x_NMD = gather_positions(model.encoder(batch.inputs_NS, keep_BS=batch.keep_NS), batch.positions_NM)
        return _cross_entropy(model.head(x_NMD, tokens.weight), batch.labels_NM)

    def dense(batch: Batch) -> Tensor:
        scores_NSV = model.head(model.encoder(batch.inputs_NS, keep_BS=batch.keep_NS), tokens.weight)
        return _cross_entropy(scores_NSV, batch.dense_labels())

    if contender.head == "dense":
        return model, dense
    if contender.last_layer == "whole":
        return model, whole_last_layer
    return model, sparse if contender.gradient == "with the loss" else by_autograd


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, 1).float(), labels.flatten())


def _bert(contender: Contender, work: Work) -> tuple[nn.Module, Loss]:
    from transformers import BertConfig, BertForMaskedLM  # a second of import that only this contender needs

    config = work.config
    model: nn.Module = BertForMaskedLM(
        BertConfig(
            vocab_size=config.padded_vocab_size,
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.ffn,
            hidden_act=ACTIVATIONS[config.activation],
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.attention_dropout,
            max_position_embeddings=config.max_positions,
            attn_implementation="sdpa",
        )
    )

    def loss_of(batch: Batch) -> Tensor:
        # No attention_mask: compiled, an all-ones mask would reach the kernels as a real one.
        loss: Tensor = model(input_ids=batch.inputs_NS, labels=batch.dense_labels()).loss
        return loss

    return model, loss_of


class _TorchEncoder(nn.Module):
    """torch.nn.TransformerEncoder with the same embeddings and tied head."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        config = work.config
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.ffn,
            dropout=config.dropout,
            activation=F.gelu,
            batch_first=True,
            norm_first=config.norm == "pre",
        )
        self.tokens = nn.Embedding(config.padded_vocab_size, config.width)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.layers = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        self.head = nn.Sequential(nn.Linear(config.width, config.width), nn.GELU(), nn.LayerNorm(config.width))
        self.bias = nn.Parameter(torch.zeros(config.padded_vocab_size))

    def forward(self, inputs_NS: Tensor) -> Tensor:
        """Scores NSV."""
        x_NSD = self.layers(self.tokens(inputs_NS) + self.positions.weight[: inputs_NS.size(1)])
        return F.linear(self.head(x_NSD), self.tokens.weight, self.bias)


def _torch(contender: Contender, work: Work) -> tuple[nn.Module, Loss]:
    model = _TorchEncoder(work)

    def loss_of(batch: Batch) -> Tensor:
        return _cross_entropy(model(batch.inputs_NS), batch.dense_labels())

    return model, loss_of


_MODELS: dict[str, Callable[[Contender, Work], tuple[nn.Module, Loss]]] = {
    "ours": _ours,
    "bert": _bert,
    "torch": _torch,
}

RIVALS = (
    Contender("BertForMaskedLM, eager", "bert", compiled=False, freed_pages="returned"),
    Contender("BertForMaskedLM, compiled", "bert", compiled=True, freed_pages="returned"),
    Contender("nn.TransformerEncoder, compiled", "torch", compiled=True, freed_pages="returned"),
)
RIVAL_WITH_PAGES = Contender("BertForMaskedLM, compiled, pages kept", "bert", compiled=True)
"""On CPU: what a script could have if it asked malloc for it."""
OURS = (
    Contender("bertd, eager", "ours", compiled=False, attention="measured"),
    Contender("bertd, compiled", "ours", compiled=True, attention="measured"),
)
PAGES_RUNG = Contender("+ pages kept", "ours", compiled=False)
"""On CPU alone."""
LADDER = (
    Contender(
        "padded, dense head",
        "ours",
        compiled=False,
        head="dense",
        last_layer="whole",
        packing="sentences",
        freed_pages="returned",
    ),
    Contender("+ full packing", "ours", compiled=False, head="dense", last_layer="whole", freed_pages="returned"),
    Contender("+ sparse head", "ours", compiled=False, last_layer="whole", freed_pages="returned"),
    Contender("+ last-layer subset", "ours", compiled=False, gradient="by autograd", freed_pages="returned"),
    Contender("+ gradient with the loss", "ours", compiled=False, freed_pages="returned"),
    PAGES_RUNG,
    Contender("+ compiled", "ours", compiled=True),
    Contender("+ dropout off", "ours", compiled=True, dropout=False),
)
"""Each rung adds one saving to the one above."""
ATTENTION_RUNG = Contender("+ measured attention", "ours", compiled=True, dropout=False, attention="measured")
"""The last rung where there is a choice of kernels: on a GPU."""
APEX = Contender("bertd, apex", "ours", compiled=False, apex=True, attention="measured")
EAGER_TOP = Contender("the top, eager", "ours", compiled=False, dropout=False, attention="measured")
APEX_TOP = Contender("the top, eager with apex", "ours", compiled=False, dropout=False, apex=True, attention="measured")
"""The choice of kernels with all other savings."""


def contenders_for(work: Work, *, is_ladder: bool) -> list[Contender]:
    """The ladder, or this model beside stock ones; less what this device has no choice of."""
    is_cpu = work.device.type == "cpu"
    if is_ladder:
        rungs = [each for each in LADDER if is_cpu or each is not PAGES_RUNG]
        kernels = [EAGER_TOP, *([APEX_TOP] if work.apex.parts else [])]
        return [*rungs, *([ATTENTION_RUNG] if work.attention.backends else []), *kernels]
    ours = [*OURS, *([APEX] if work.apex.parts else [])]
    if work.dataset is not None:
        ours.append(Contender("bertd, a whole run", "run", compiled=not is_cpu, attention="measured"))
    return [*ours, *RIVALS, *([RIVAL_WITH_PAGES] if is_cpu else [])]

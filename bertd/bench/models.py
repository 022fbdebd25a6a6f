"""Contenders of the bench: this model with its optimizations on or off, BertForMaskedLM, nn.TransformerEncoder.

All share what can be shared: weight shapes, masks, dropout, fused AdamW, attention without a mask on full windows,
gradient accumulation over micro-batches, set_to_none. Only the model's code differs. One more contender is a whole run:
the trainer's own update, with the recipe's optimizer and its data path. All use a learning rate at which none can
diverge: at a peak rate without warm-up a stock model would, and products of saturated numbers draw less power.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertd.bench.workload import BenchBatch, Workload, train_batches
from bertd.errors import DeviceError
from bertd.model.encoder import MaskedLanguageModel, gather_positions, use_packed_attention
from bertd.model.hf_mapping import ACTIVATIONS
from bertd.train.autotune.attention_backend import MIN_TIMED_SEQUENCES, AttentionChoice, choose_attention
from bertd.train.autotune.attention_workload import AttentionWorkload
from bertd.train.backends.apex.detect import use_fused_modules
from bertd.train.backends.float8 import require_float8, use_float8
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass, attention_tag, compiler_options
from bertd.train.loop.train_step import TrainStep
from bertd.train.optim.muon import Muon
from bertd.train.optim.optimizer import build_optimizers

FLOAT8_PRODUCTS: tuple[Literal["large", "all"], ...] = ("large", "all")
LEARNING_RATE = 1e-6
"""Of every update: no speed depends on it, and no loss moves by it."""

UpdateFn = Callable[[], Tensor]
"""Does one update; returns the mean loss over the batch (a whole run: since its start) without synchronising."""
LossFn = Callable[[BenchBatch], Tensor]
"""Mean cross-entropy of a micro-batch's predicted tokens."""


@dataclass(frozen=True)
class Contender:
    """A model, and how it computes the workload."""

    name: str
    model: Literal["ours", "bert", "torch", "run"]
    """run: ours with everything else that a run does."""
    compiled: bool
    head: Literal["sparse", "dense"] = "sparse"
    """ours only: the head at the predicted positions, or at all positions as in stock models."""
    last_layer: Literal["subset", "whole"] = "subset"
    """ours only: the last layer at the predicted positions, or at all positions."""
    gradient: Literal["with the loss", "by autograd"] = "with the loss"
    """ours only: how the gradient of the loss with respect to the logits is computed."""
    dropout: bool = True
    """False turns the recipe's dropout off."""
    packing: Literal["full", "sentences"] = "full"
    """ours only: full windows, or padded rows with an attention mask; padding does not count as throughput."""
    attention: Literal["PyTorch's", "measured"] = "PyTorch's"
    """ours only: PyTorch's default kernel, or the fastest measured."""
    apex: bool = False
    """ours only: with the modules of NVIDIA's apex that work here."""
    residual: Literal["recipe's", "bf16"] = "recipe's"
    """ours only: the format of the residual."""
    compile_unit: Literal["recipe's", "layer"] = "recipe's"
    """ours only, if compiled: what becomes one graph."""
    float8: Literal["large", "all"] | None = None
    """ours only: the layers' products that are in 8 bits; None for the recipe's."""
    searches_products: bool = False
    """ours only, if compiled: whether the compiler times kernels for each matrix product; the recipe may ask for it."""
    freed_pages: Literal["kept", "returned"] = "kept"
    """Host memory that an update frees: kept for the next update, as in bertd's ranks, or returned to the kernel, as
    with malloc's defaults."""

    def text_share(self, workload: Workload) -> float:
        """Share of this contender's rows that is not padding."""
        if self.model == "run":
            return workload.recipe_text_share
        return workload.padded.text_share if self.packing == "sentences" else 1.0


@dataclass(frozen=True)
class BuiltContender:
    """A contender that is ready to run, with the state that it keeps in device memory between updates."""

    update: UpdateFn
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    close: Callable[[], None] = lambda: None
    """Ends its background threads."""

    def move(self, device: torch.device) -> None:
        """Move weights and optimizer state to a device, to free the memory of the other."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            if isinstance(optimizer, Muon):
                optimizer.release_batches()
        self.model.to(device)
        for state in (state for optimizer in self.optimizers for state in optimizer.state.values()):
            for name, value in state.items():
                # The step count (a scalar) stays on the device that fused kernels need.
                if isinstance(value, Tensor) and value.dim() > 0:
                    state[name] = value.to(device)


def build_contender(contender: Contender, workload: Workload, *, micro: int) -> BuiltContender:
    """Build a contender that does updates in micro-batches of `micro`."""
    if contender.model == "run":
        return _build_run(contender, workload, micro=micro)
    if not contender.dropout:
        workload = workload.without_dropout()
    model, loss_of = build_model_and_loss(contender, workload)
    model.to(workload.device).train()
    is_measured = contender.attention == "measured" and workload.attention.backends
    attention = list(workload.attention.backends) if is_measured else []
    use_packed_attention(model, workload.attention.packed if is_measured else None)
    options = compiler_options(
        searches_products=contender.searches_products
        or (contender.model == "ours" and workload.recipe.precision.product_search)
    )
    if contender.compiled:
        torch.compiler.config.cache_key_tag = attention_tag(attention)
    if contender.compiled and _is_compiled_by_layer(contender, workload):
        assert isinstance(model, MaskedLanguageModel)
        torch._dynamo.reset()
        model.compile_by_layer(options=options)
    elif contender.compiled:
        loss_of = torch.compile(_copy_with_own_code(loss_of), fullgraph=True, dynamic=False, options=options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    micro_batches = _split_batch(contender, workload, micro=micro)

    def update() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=workload.device)
        for micro_batch in micro_batches:
            with _loss_context(workload, attention):
                loss = loss_of(micro_batch) / len(micro_batches)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += loss.detach()
        optimizer.step()
        return total

    return BuiltContender(update, model=model, optimizers=[optimizer])


def _is_compiled_by_layer(contender: Contender, workload: Workload) -> bool:
    """Whether it is, by itself or by the recipe; only the loss that a run computes has such parts."""
    wanted = "layer" in (contender.compile_unit, workload.recipe.precision.compile_unit)
    is_a_runs = (
        contender.head == "sparse" and contender.last_layer == "subset" and contender.gradient == "with the loss"
    )
    return wanted and contender.model == "ours" and is_a_runs


def _split_batch(contender: Contender, workload: Workload, *, micro: int) -> list[BenchBatch]:
    batch = workload.batch if contender.packing == "full" else workload.padded
    return [batch.rows(start, start + micro) for start in range(0, workload.num_sequences, micro)]


def _loss_context(workload: Workload, attention: Sequence[SDPBackend]) -> AbstractContextManager[object]:
    context = ExitStack()
    if workload.precision.dtype is not None:
        context.enter_context(torch.autocast(workload.device.type, dtype=workload.precision.dtype))
    if attention:
        context.enter_context(sdpa_kernel(list(attention), set_priority=True))
    return context


def eager_twin(contender: Contender) -> Contender:
    """The same model in plain eager code: without the compiler, and without kernels chosen here; its own twin."""
    plain = replace(contender, compiled=False, attention="PyTorch's", apex=False, compile_unit="recipe's")
    plain = replace(plain, searches_products=False)
    return replace(plain, name="eager twin", freed_pages="kept")


def is_own_twin(contender: Contender) -> bool:
    """Whether it is plain eager code itself."""
    return replace(contender, name="eager twin", freed_pages="kept") == eager_twin(contender)


def first_eager_loss(contender: Contender, workload: Workload, *, micro: int) -> float:
    """Mean loss that a contender's first update must show, by its eager twin; seed torch as for the contender."""
    twin = eager_twin(contender)
    if twin.model == "run":
        built = _build_run(twin, workload, micro=micro)
        try:
            return float(built.update())
        finally:
            built.close()
    if not twin.dropout:
        workload = workload.without_dropout()
    model, loss_of = build_model_and_loss(twin, workload)
    model.to(workload.device).train()
    micro_batches = _split_batch(twin, workload, micro=micro)
    with torch.no_grad(), _loss_context(workload, ()):
        return sum(float(loss_of(micro_batch)) for micro_batch in micro_batches) / len(micro_batches)


_code_numbers = itertools.count()


def _copy_with_own_code(loss_of: LossFn) -> LossFn:
    """Copy the function and its code object: the compiler caches by code object and ignores the attention kernel."""
    assert isinstance(loss_of, FunctionType)
    code = loss_of.__code__.replace(co_name=f"{loss_of.__name__}_{next(_code_numbers)}")
    return FunctionType(code, loss_of.__globals__, closure=loss_of.__closure__)


def _build_run(contender: Contender, workload: Workload, *, micro: int) -> BuiltContender:
    """Build the work of one rank of a run: read, mask, accumulate, step with the recipe's optimizer."""
    assert workload.dataset is not None
    recipe, single_rank = workload.recipe, Ranks(rank=0, world_size=1, device=workload.device, control=None)
    model = MaskedLanguageModel(workload.config, seed=recipe.run.seed).to(workload.device).train()
    if workload.precision.mode == "fp8":
        use_float8(model, products=recipe.precision.fp8_products)
    is_padded = recipe.data.packing == "sentences"
    attention = workload.attention if contender.attention == "measured" else AttentionChoice()
    if is_padded and contender.attention == "measured":
        attention_workload = AttentionWorkload.from_config(
            workload.config,
            sequences=max(micro, MIN_TIMED_SEQUENCES),
            length=workload.sequence_length,
            predictions=workload.predictions,
            is_masked=True,
        )
        attention = choose_attention(attention_workload, precision=workload.precision, ranks=single_rank)
    forward = ForwardPass(
        model,
        ranks=single_rank,
        precision=workload.precision,
        kernels="compile" if contender.compiled else "eager",
        compile_unit=recipe.precision.compile_unit,
        searches_products=recipe.precision.product_search,
        attention=attention.backends,
        packed_attention=attention.packed,
        pad_id=workload.dataset.vocabulary.pad if is_padded else None,
    )
    optimizers = build_optimizers(model, recipe.optimizer)
    batches = train_batches(
        recipe, workload.dataset, num_sequences=workload.num_sequences, micro=micro, device=workload.device
    )
    train_step = TrainStep(
        recipe,
        model=model,
        forward=forward,
        optimizers=optimizers,
        batches=batches,
        ranks=single_rank,
        precision=workload.precision,
        scaler=None,
    )
    steps = itertools.count()

    def update() -> Tensor:
        train_step.update(step=next(steps), lr=LEARNING_RATE, wants_norm=False)
        return train_step.unread_loss

    return BuiltContender(update, model=model, optimizers=optimizers.optimizers, close=batches.close)


def build_model_and_loss(contender: Contender, workload: Workload) -> tuple[nn.Module, LossFn]:
    """The contender's model, on CPU, and its loss function."""
    return _MODELS[contender.model](contender, workload)


def _build_ours(contender: Contender, workload: Workload) -> tuple[nn.Module, LossFn]:
    config = workload.config
    if contender.residual == "bf16":
        config = replace(config, has_bf16_residual=True)
    model = MaskedLanguageModel(config, seed=1)
    recipe_products = workload.recipe.precision.fp8_products if workload.precision.mode == "fp8" else None
    if (products := contender.float8 or recipe_products) is not None:
        use_float8(model, products=products)
    if contender.apex:
        use_fused_modules(model.to(workload.device), workload.apex)
    tokens = model.encoder.embeddings.tokens

    def sparse(batch: BenchBatch) -> Tensor:
        loss_sum: Tensor = model(batch.inputs_NS, batch.positions_NM, batch.labels_NM, batch.attention_mask_NS)
        return loss_sum / batch.labels_NM.numel()

    def by_autograd(batch: BenchBatch) -> Tensor:
        x_NMD = model.encoder(
            batch.inputs_NS, attention_mask_BS=batch.attention_mask_NS, query_positions_BM=batch.positions_NM
        )
        return _cross_entropy(model.head(x_NMD, tokens.weight), batch.labels_NM)

    def whole_last_layer(batch: BenchBatch) -> Tensor:
        x_NMD = gather_positions(
            model.encoder(batch.inputs_NS, attention_mask_BS=batch.attention_mask_NS), batch.positions_NM
        )
        return _cross_entropy(model.head(x_NMD, tokens.weight), batch.labels_NM)

    def dense(batch: BenchBatch) -> Tensor:
        logits_NSV = model.head(
            model.encoder(batch.inputs_NS, attention_mask_BS=batch.attention_mask_NS), tokens.weight
        )
        return _cross_entropy(logits_NSV, batch.dense_labels())

    if contender.head == "dense":
        return model, dense
    if contender.last_layer == "whole":
        return model, whole_last_layer
    return model, sparse if contender.gradient == "with the loss" else by_autograd


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def _build_bert(contender: Contender, workload: Workload) -> tuple[nn.Module, LossFn]:
    from transformers import BertConfig, BertForMaskedLM  # a second of import that only this contender needs

    config = workload.config
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

    def loss_of(batch: BenchBatch) -> Tensor:
        # No attention_mask: when compiled, an all-ones mask would be passed to the kernels like a real mask.
        loss: Tensor = model(input_ids=batch.inputs_NS, labels=batch.dense_labels()).loss
        return loss

    return model, loss_of


class _TorchEncoder(nn.Module):
    """torch.nn.TransformerEncoder with the same embeddings and tied head."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        config = workload.config
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
        x_NSD = self.layers(self.tokens(inputs_NS) + self.positions.weight[: inputs_NS.size(1)])
        return F.linear(self.head(x_NSD), self.tokens.weight, self.bias)


def _build_torch(contender: Contender, workload: Workload) -> tuple[nn.Module, LossFn]:
    model = _TorchEncoder(workload)

    def loss_of(batch: BenchBatch) -> Tensor:
        return _cross_entropy(model(batch.inputs_NS), batch.dense_labels())

    return model, loss_of


_MODELS: dict[str, Callable[[Contender, Workload], tuple[nn.Module, LossFn]]] = {
    "ours": _build_ours,
    "bert": _build_bert,
    "torch": _build_torch,
}

BASELINES = (
    Contender("BertForMaskedLM, eager", "bert", compiled=False, freed_pages="returned"),
    Contender("BertForMaskedLM, compiled", "bert", compiled=True, freed_pages="returned"),
    Contender("nn.TransformerEncoder, compiled", "torch", compiled=True, freed_pages="returned"),
)
BASELINE_KEEPING_PAGES = Contender("BertForMaskedLM, compiled, pages kept", "bert", compiled=True)
"""On CPU only: the baseline with the malloc settings of bertd's ranks."""
OURS = (
    Contender("bertd, eager", "ours", compiled=False, attention="measured"),
    Contender("bertd, compiled", "ours", compiled=True, attention="measured"),
)
PAGES_RUNG = Contender("+ pages kept", "ours", compiled=False)
"""On CPU only."""
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
"""Each rung adds one optimization to the one above."""
ATTENTION_RUNG = Contender("+ measured attention", "ours", compiled=True, dropout=False, attention="measured")
"""On a GPU only, where there is a choice of kernels."""
BY_LAYER_ROW = Contender(
    "the top, compiled by layer", "ours", compiled=True, dropout=False, attention="measured", compile_unit="layer"
)
"""On a GPU only. Not added to the rung above but in the place of its one graph: several ranks gain, one shows the
price and the seconds of compiling."""
BF16_RESIDUAL_RUNG = Contender(
    "+ bf16 residual", "ours", compiled=True, dropout=False, attention="measured", residual="bf16"
)
"""Where products are in bf16. Its loss is rounded otherwise, so it is no part of the top that eager rows repeat."""
PRODUCT_SEARCH_ROW = Contender(
    "the top, products searched", "ours", compiled=True, dropout=False, attention="measured", searches_products=True
)
"""On a GPU only, and apart from the ladder: the search takes minutes."""
FLOAT8_ROWS = tuple(
    Contender(
        f"the top, {products} products in 8 bits",
        "ours",
        compiled=True,
        dropout=False,
        attention="measured",
        float8=products,
    )
    for products in FLOAT8_PRODUCTS
)
"""Where a GPU and torchao have them."""
APEX = Contender("bertd, apex", "ours", compiled=False, apex=True, attention="measured")
EAGER_TOP = Contender("the top, eager", "ours", compiled=False, dropout=False, attention="measured")
APEX_TOP = Contender("the top, eager with apex", "ours", compiled=False, dropout=False, apex=True, attention="measured")
"""Eager kernels, with and without apex, with all other optimizations."""


def _float8_rows(workload: Workload) -> tuple[Contender, ...]:
    try:
        require_float8(workload.device)
    except DeviceError:
        return ()
    return FLOAT8_ROWS


def select_contenders(workload: Workload, *, is_ladder: bool) -> list[Contender]:
    """The ladder, or this model and the baselines; without the options that this device does not have."""
    is_cpu = workload.device.type == "cpu"
    if is_ladder:
        rungs = [each for each in LADDER if is_cpu or each is not PAGES_RUNG]
        kernels = [EAGER_TOP, *([APEX_TOP] if workload.apex.classes else [])]
        if workload.attention.backends:
            rungs.append(ATTENTION_RUNG)
        if workload.precision.dtype is torch.bfloat16:
            rungs.append(BF16_RESIDUAL_RUNG)
        apart = [] if is_cpu else [BY_LAYER_ROW, *_float8_rows(workload), PRODUCT_SEARCH_ROW]
        return [*rungs, *kernels, *apart]
    ours = [*OURS, *([APEX] if workload.apex.classes else [])]
    if workload.dataset is not None:
        ours.append(Contender("bertd, a whole run", "run", compiled=not is_cpu, attention="measured"))
    return [*ours, *BASELINES, *([BASELINE_KEEPING_PAGES] if is_cpu else [])]

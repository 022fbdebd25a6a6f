"""The model's loss as a run computes it, with its precision, kernels, attention, padding and ranks.

When compiled, training is one graph and validation another, each with one shape, without graph breaks or recompilations
(tests/train/loop/test_train_step.py). With several ranks DistributedDataParallel (DDP) reduces the gradients, only on
the last micro-batch of an update; validation does not go through it. Its static graph saves the search for unused
parameters, but the first backward pass must then be one that reduces: PyTorch 2.13 fails with an internal assertion
otherwise.

Compiled as a whole, the model is one node of the backward pass: DDP reduces all gradients when it has ended. Compiled
by layer, each layer is a node, and DDP reduces its gradients while the layers below are computed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, Literal

import torch
import torch._dynamo
import torch._functorch.config
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.errors import DeviceError
from bertd.model.encoder import MaskedLanguageModel, PackedAttention, use_packed_attention
from bertd.train.backends.precision import Precision
from bertd.train.distributed.process_group import Ranks

_WARM_UP_SHAPE = (2, 8)
"""Sequences and tokens of the pass that only shows DDP the graph; 8-bit matrix products need at least this many."""


def attention_tag(backends: Sequence[SDPBackend]) -> str:
    """The key that separates, in the compiler's caches, graphs that call different attention kernels."""
    return ",".join(backend.name for backend in backends)


def compiler_options(*, searches_products: bool) -> dict[str, str | int | bool | Callable[..., Any]] | None:
    """Inductor's options for the training graph; None for its defaults."""
    return {"max_autotune_gemm": True} if searches_products else None


_KNOWS_FORWARD_SYNC = "forward_sync_buffers" in inspect.signature(DistributedDataParallel.__init__).parameters
# The only buffers are rotary angles, which are constants. The option has this name since PyTorch 2.13.
_NO_BUFFER_SYNC: dict[str, Any] = {"forward_sync_buffers" if _KNOWS_FORWARD_SYNC else "broadcast_buffers": False}
_WHOLE_BUCKET_MB = 200
"""Of gradients that are all there at once, so that a bucket's exchange has nothing to hide below: fewer, larger ones
than DDP's 25 MB. Not measured on a GPU; `bertd prove` measures the exchange at this size and at others."""
_MAX_GRAPHS_OF_LAYERS = 16
_DDP_WARM_UP_PASSES = 3
"""DDP records the graph in the first, the gradients' order in the second, and rebuilds its buckets for the third."""


class ForwardPass:
    """Computes the sum of cross-entropies of a masked micro-batch."""

    def __init__(
        self,
        model: MaskedLanguageModel,
        *,
        ranks: Ranks,
        precision: Precision,
        kernels: str,
        compile_unit: Literal["model", "layer"] = "model",
        searches_products: bool = False,
        attention: tuple[SDPBackend, ...] = (),
        packed_attention: PackedAttention | None = None,
        pad_id: int | None,
    ) -> None:
        """Compile and wrap the model; every rank must call.

        Args:
            kernels: "compile", or "eager" or "apex", which both run without the compiler.
            compile_unit: what becomes one graph; with "layer" the model's parts are compiled in place.
            searches_products: have the compiler time kernels for each matrix product of training.
            attention: backends, the preferred one first; empty leaves the choice to PyTorch.
            packed_attention: called instead of PyTorch's attention by the layers that can; None for PyTorch's in all.
            pad_id: id of the padding token; None if sequences have no padding, so that attention needs no mask.
        """
        self._model = model
        self._device = ranks.device
        self._dtype = precision.dtype
        self._attention = list(attention)
        self._is_order_checked = False
        if self._attention:
            # In a process's first attention call PyTorch sets its own order of preference (cuDNN first on Hopper), also
            # over one that sdpa_kernel has set: let that happen before.
            torch._fused_sdp_choice(*torch.zeros(3, 1, 1, 8, 8, device=self._device))
        self._pad_id = pad_id
        self.is_compiled = kernels == "compile"
        # The key of a cached graph on disk does not contain the attention kernel that it calls.
        torch.compiler.config.cache_key_tag = attention_tag(self._attention)
        is_by_layer = self.is_compiled and compile_unit == "layer"
        self._evaluate = _build_evaluation(model, is_compiled=self.is_compiled and not is_by_layer)
        self._train: nn.Module = model
        if self.is_compiled:
            # Without this the graph of the training pass, whose loss is an autograd.Function, is traced again by each
            # attempt. Its two functions are part of the key: tests/train/loop/test_loss_fn.py.
            torch._functorch.config.autograd_cache_allow_custom_autograd_functions = True
        if is_by_layer:
            # Training and validation have a graph each for all kinds of layers: first, last, local, global.
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MAX_GRAPHS_OF_LAYERS)
            model.compile_by_layer(options=compiler_options(searches_products=searches_products))
        elif self.is_compiled:
            options = compiler_options(searches_products=searches_products)
            compiled = torch.compile(model, fullgraph=True, dynamic=False, options=options)
            assert isinstance(compiled, nn.Module)
            self._train = compiled
        if ranks.world_size > 1:
            # Keep one graph: by default the compiler splits it at DDP's buckets and does not support static_graph.
            torch._dynamo.config.optimize_ddp = False
            self._train = DistributedDataParallel(
                self._train,
                gradient_as_bucket_view=True,
                static_graph=True,
                bucket_cap_mb=_WHOLE_BUCKET_MB if self.is_compiled and not is_by_layer else None,
                **_NO_BUFFER_SYNC,
            )
            for _ in range(_DDP_WARM_UP_PASSES):
                self._warm_up_ddp()
        # After the warm-up, whose shape nothing else has.
        use_packed_attention(model, packed_attention)

    def loss(self, batch: MaskedBatch) -> Tensor:
        """Sum of cross-entropies in nats of one micro-batch, for training."""
        with self._context(self._attention):
            loss = self._compute_loss(batch)
            if not self._is_order_checked:
                self._is_order_checked = True
                self._require_attention_order()
        return loss

    @contextmanager
    def evaluation(self) -> Iterator[Callable[[MaskedBatch], Tensor]]:
        """Yield the loss function without dropout, gradients or DDP; restore training mode afterwards."""
        self._model.eval()
        try:
            with torch.no_grad():
                yield self._evaluation_loss
        finally:
            self._model.train()

    @property
    def uses_ddp(self) -> bool:
        """Whether gradients are views into DDP's buckets, and so are set to 0 rather than freed."""
        return isinstance(self._train, DistributedDataParallel)

    def no_gradient_sync(self) -> AbstractContextManager[None]:
        """For all micro-batches of an update but the last: accumulate gradients on this rank only."""
        return self._train.no_sync() if isinstance(self._train, DistributedDataParallel) else nullcontext()

    def _evaluation_loss(self, batch: MaskedBatch) -> Tensor:
        with self._context(self._attention):
            return self._evaluate(batch.inputs_BS, batch.positions_BM, batch.labels_BM, self._attention_mask(batch))

    def _compute_loss(self, batch: MaskedBatch) -> Tensor:
        loss: Tensor = self._train(batch.inputs_BS, batch.positions_BM, batch.labels_BM, self._attention_mask(batch))
        return loss

    def _attention_mask(self, batch: MaskedBatch) -> Tensor | None:
        return None if self._pad_id is None else batch.inputs_BS != self._pad_id

    def _context(self, attention: Sequence[SDPBackend]) -> AbstractContextManager[object]:
        context = ExitStack()
        if self._dtype is not None:
            context.enter_context(torch.autocast(self._device.type, dtype=self._dtype))
        if attention:
            context.enter_context(sdpa_kernel(list(attention), set_priority=True))
        return context

    def _require_attention_order(self) -> None:
        """Check after the first call that PyTorch had the order of preference that was chosen.

        Raises:
            DeviceError: it had another.
        """
        actual = tuple(torch._C._get_sdp_priority_order()[: len(self._attention)])
        if self._attention and actual != tuple(backend.value for backend in self._attention):
            names = ", ".join(SDPBackend(value).name for value in actual)
            raise DeviceError(
                f"attention: PyTorch {torch.__version__} preferred {names}, and {attention_tag(self._attention)} was "
                "chosen; use another version of PyTorch, and please report it"
            )

    def _warm_up_ddp(self) -> None:
        """Do one backward pass of a loss that is 0, through DDP and without the compiler.

        The gradients, which are 0, are kept: they are views into DDP's buckets. If they were freed, the first
        micro-batches of every update would fill a second set next to the buckets.
        """
        for parameter in self._model.parameters():
            parameter.grad = None
        inputs_BS = torch.zeros(_WARM_UP_SHAPE, dtype=torch.int64, device=self._device)
        ignored_BM = torch.full((_WARM_UP_SHAPE[0], 1), IGNORE_INDEX, device=self._device)
        batch = MaskedBatch(inputs_BS, torch.zeros_like(ignored_BM), ignored_BM)
        # A graph for this shape would be one too many. Attention is plain mathematics, since only the order of the
        # backward pass matters: with a single query cuDNN's backward has crashed on Hopper (PyTorch issue 138529,
        # cudnn-frontend issues 1071 and 1072).
        with torch.compiler.set_stance("force_eager"), self._context([SDPBackend.MATH]):
            self._compute_loss(batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _build_evaluation(model: MaskedLanguageModel, *, is_compiled: bool) -> Callable[..., Tensor]:
    def evaluate(
        inputs_BS: Tensor, positions_BM: Tensor, labels_BM: Tensor, attention_mask_BS: Tensor | None
    ) -> Tensor:
        loss: Tensor = model(inputs_BS, positions_BM, labels_BM, attention_mask_BS)
        return loss

    # The compiler keeps graphs per function: compiled from the model itself, this would count as a recompilation.
    return torch.compile(evaluate, fullgraph=True, dynamic=False) if is_compiled else evaluate

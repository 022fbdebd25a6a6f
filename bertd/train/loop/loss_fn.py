"""The model's loss as a run computes it: its precision, kernels and attention, its padding, its ranks.

Compiled, training is one graph and validation another, each with one shape; neither breaks nor is compiled twice
(tests/train/loop/test_train_step.py). With several ranks gradients meet in DistributedDataParallel, on the last
micro-batch of an update alone; validation goes past it. Its static graph saves it from looking for unused parameters,
and needs a backward pass that exchanges before the first that does not: PyTorch 2.13 ends in an internal assertion
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
import torch._dynamo
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.model.encoder import MaskedLanguageModel
from bertd.train.backends.precision import Precision
from bertd.train.distributed.process_group import Ranks

_WARM_UP_SHAPE = (2, 8)
"""Of the pass that only shows DistributedDataParallel the graph; as many tokens as products in 8 bits need."""


def attention_tag(backends: Sequence[SDPBackend]) -> str:
    """What tells apart, in the compiler's caches, graphs that call these attention kernels."""
    return ",".join(backend.name for backend in backends)


_DDP_WARM_UP_PASSES = 3
"""In the first the exchange sees the graph, in the second its order; for the third it lays its buckets out anew."""


class ForwardPass:
    """From a masked micro-batch to the sum of its cross-entropies."""

    def __init__(
        self,
        model: MaskedLanguageModel,
        *,
        ranks: Ranks,
        precision: Precision,
        kernels: str,
        attention: tuple[SDPBackend, ...] = (),
        pad_id: int | None,
    ) -> None:
        """Make ready; every rank must call.

        Args:
            kernels: compile, or what runs eagerly.
            attention: backends by falling preference; none leaves the choice to PyTorch.
            pad_id: of the padding in the sequences; None where there is none, so that attention needs no mask.
        """
        self._model = model
        self._device = ranks.device
        self._dtype = precision.dtype
        self._attention = list(attention)
        self._pad_id = pad_id
        self.is_compiled = kernels == "compile"
        # Graphs are kept on disk by what they compute, and which attention kernel they call is not part of that.
        torch.compiler.config.cache_key_tag = attention_tag(self._attention)
        self._evaluate = _build_evaluation(model, is_compiled=self.is_compiled)
        self._train: nn.Module = model
        if self.is_compiled:
            compiled = torch.compile(model, fullgraph=True, dynamic=False)
            assert isinstance(compiled, nn.Module)
            self._train = compiled
        if ranks.world_size > 1:
            # The graph stays whole: by default the compiler cuts it at DDP's buckets, and knows no static graph.
            torch._dynamo.config.optimize_ddp = False
            self._train = DistributedDataParallel(self._train, gradient_as_bucket_view=True, static_graph=True)
            for _ in range(_DDP_WARM_UP_PASSES):
                self._warm_up_ddp()

    def loss(self, batch: MaskedBatch) -> Tensor:
        """Sum of cross-entropies in nats of one micro-batch, for training."""
        with self._context():
            loss: Tensor = self._train(
                batch.inputs_BS, batch.positions_BM, batch.labels_BM, self._attention_mask(batch)
            )
        return loss

    @contextmanager
    def evaluation(self) -> Iterator[Callable[[MaskedBatch], Tensor]]:
        """The same without dropout, gradient or exchange, as a function to use inside; training mode comes back."""
        self._model.eval()
        try:
            with torch.no_grad():
                yield self._evaluation_loss
        finally:
            self._model.train()

    @property
    def uses_ddp(self) -> bool:
        """Whether gradients lie in the buckets in which ranks exchange them, and so are set to 0 rather than freed."""
        return isinstance(self._train, DistributedDataParallel)

    def no_gradient_sync(self) -> AbstractContextManager[None]:
        """For all micro-batches of an update but the last: gradients add up on this rank alone."""
        return self._train.no_sync() if isinstance(self._train, DistributedDataParallel) else nullcontext()

    def _evaluation_loss(self, batch: MaskedBatch) -> Tensor:
        with self._context():
            return self._evaluate(batch.inputs_BS, batch.positions_BM, batch.labels_BM, self._attention_mask(batch))

    def _attention_mask(self, batch: MaskedBatch) -> Tensor | None:
        return None if self._pad_id is None else batch.inputs_BS != self._pad_id

    def _context(self) -> AbstractContextManager[object]:
        context = ExitStack()
        if self._dtype is not None:
            context.enter_context(torch.autocast(self._device.type, dtype=self._dtype))
        if self._attention:
            context.enter_context(sdpa_kernel(self._attention, set_priority=True))
        return context

    def _warm_up_ddp(self) -> None:
        """One backward pass with exchange of a loss that is 0, on the model as it is not compiled.

        The gradients, which are 0, stay: they are views into the exchange's buckets. Freed, the first micro-batches of
        every update would fill a second set beside these.
        """
        for parameter in self._model.parameters():
            parameter.grad = None
        inputs_BS = torch.zeros(_WARM_UP_SHAPE, dtype=torch.int64, device=self._device)
        ignored_BM = torch.full((_WARM_UP_SHAPE[0], 1), IGNORE_INDEX, device=self._device)
        # A graph for this shape would be one too many.
        with torch.compiler.set_stance("force_eager"):
            batch = MaskedBatch(inputs_BS, torch.zeros_like(ignored_BM), ignored_BM)
            self.loss(batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _build_evaluation(model: MaskedLanguageModel, *, is_compiled: bool) -> Callable[..., Tensor]:
    def evaluate(
        inputs_BS: Tensor, positions_BM: Tensor, labels_BM: Tensor, attention_mask_BS: Tensor | None
    ) -> Tensor:
        loss: Tensor = model(inputs_BS, positions_BM, labels_BM, attention_mask_BS)
        return loss

    # A function of its own, whose code has its own graphs: the model's would count this as a second compilation.
    return torch.compile(evaluate, fullgraph=True, dynamic=False) if is_compiled else evaluate

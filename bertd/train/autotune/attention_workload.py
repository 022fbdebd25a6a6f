"""The attention calls that a run makes: their shapes, strides and masks, as Encoder makes them.

Shapes: B sequences, S tokens, P parts of the product (q, k, v, or k, v), H heads, K head width, M queries of the last
layer, Q queries (S or M).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bertd.model.encoder import EncoderConfig

_MASKED_SHARE = 0.2
"""Of the keys of a padded sequence; every second sequence is padded."""


@dataclass(frozen=True)
class AttentionWorkload:
    """A run's attention calls."""

    sequences: int
    """In a timed call."""
    is_local: tuple[bool, ...]
    """For each layer, whether it has local attention."""
    heads: int
    length: int
    predictions: int
    """Query positions of the last layer."""
    head_width: int
    dropout: float
    is_masked: bool
    """Whether padding is masked, which not every backend can do."""
    half_window: int
    """Positions that a layer with local attention sees on each side."""
    is_rotary: bool
    """Whether q and k are turned by their positions between the product and the attention."""

    @classmethod
    def from_config(
        cls, config: EncoderConfig, *, sequences: int, length: int, predictions: int, is_masked: bool
    ) -> AttentionWorkload:
        """The calls of a model's layers."""
        half_window = length if config.local_attention is None else config.local_attention // 2
        # A window over the whole sequence needs no mask: Encoder leaves it out.
        is_narrow = half_window < length - 1
        return cls(
            sequences=sequences,
            is_local=tuple(is_narrow and config.is_local(index) for index in range(config.layers)),
            heads=config.heads,
            length=length,
            predictions=predictions,
            head_width=config.width // config.heads,
            dropout=config.attention_dropout,
            is_masked=is_masked,
            half_window=half_window,
            is_rotary=config.positions == "rotary",
        )

    def calls(self) -> Iterator[AttentionCall]:
        """Each kind of call that a run makes, and how many layers make it."""
        *all_but_last, last = self.is_local
        for is_local in (False, True):
            if num_layers := all_but_last.count(is_local):
                yield AttentionCall(self, num_queries=self.length, is_local=is_local, num_layers=num_layers)
        yield AttentionCall(self, num_queries=self.predictions, is_local=last, num_layers=1)


@dataclass(frozen=True)
class AttentionInputs:
    """The products that attention reads, or their gradients."""

    q_BMHK: Tensor | None
    """None where all positions are queries: the other product has them."""
    packed_BSPHK: Tensor

    @classmethod
    def pack(cls, q_BHQK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, *, is_for_all: bool) -> AttentionInputs:
        """Copy q, k and v into the products that would have made them."""
        q, k, v = (each.transpose(1, 2) for each in (q_BHQK, k_BHSK, v_BHSK))
        if is_for_all:
            return cls(None, torch.stack((q, k, v), dim=2))
        return cls(q.contiguous(), torch.stack((k, v), dim=2))

    def split(self) -> tuple[Tensor, Tensor, Tensor]:
        """Views of q, k and v: BHQK and twice BHSK, with the strides that the model gives them."""
        queries = () if self.q_BMHK is None else (self.q_BMHK,)
        q, k, v = (each.transpose(1, 2) for each in (*queries, *self.packed_BSPHK.unbind(2)))
        return q, k, v


@dataclass(frozen=True)
class AttentionCall:
    """One kind of call."""

    workload: AttentionWorkload
    num_queries: int
    is_local: bool
    num_layers: int
    """How many layers make it."""

    @property
    def is_for_all(self) -> bool:
        """Whether all positions are queries, as in all layers but the last."""
        return self.num_queries == self.workload.length

    def make_inputs(
        self, *, sequences: int, device: torch.device, dtype: torch.dtype, generator: torch.Generator
    ) -> AttentionInputs:
        """Random products."""
        workload = self.workload
        B, S, H, K = sequences, workload.length, workload.heads, workload.head_width

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, device=device, dtype=torch.float32, generator=generator).to(dtype)

        if self.is_for_all:
            return AttentionInputs(None, draw(B, S, 3, H, K))
        packed_BSPHK = draw(B, S, 2, H, K)
        return AttentionInputs(draw(B, self.num_queries, H, K), packed_BSPHK)

    def make_mask(self, *, sequences: int, device: torch.device) -> Tensor | None:
        """Of the form that the encoder gives it: B11S for padding, B1QS or 11QS for local attention; None for none."""
        workload = self.workload
        S = workload.length
        attended_BS = torch.ones(sequences, S, dtype=torch.bool, device=device)
        attended_BS[: (sequences + 1) // 2, S - max(1, int(_MASKED_SHARE * S)) :] = False
        if not self.is_local:
            return attended_BS[:, None, None, :] if workload.is_masked else None
        positions_S = torch.arange(S, device=device)
        # Any positions will do for the last layer's queries.
        queries_Q = positions_S if self.is_for_all else positions_S[torch.linspace(0, S - 1, self.num_queries).long()]
        mask_QS = (queries_Q[:, None] - positions_S).abs() <= workload.half_window
        if not workload.is_masked:
            return mask_QS[None, None]
        # A query in the padding sees the padding, or its softmax would be over nothing.
        is_padding_BQ = ~attended_BS[:, queries_Q]
        return (mask_QS & (attended_BS[:, None, :] | is_padding_BQ[:, :, None]))[:, None]

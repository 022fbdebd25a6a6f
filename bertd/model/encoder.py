"""A BERT encoder with a masked-language-model head, read top to bottom.

    ids -> embeddings -> layers x (attention, feed-forward) -> [final norm] -> head at the predicted positions -> loss

Notable features:
- pre-LN (24hBERT: Izsak et al. 2021, section 3; Shoeybi et al. 2019) or post-LN (Devlin et al. 2019)
- learned positions, or rotary positions with GeGLU (ModernBERT: Warner et al. 2024, arXiv 2412.13663)
- optional local attention in all but every n-th layer (ModernBERT)
- no segment (token-type) embeddings: every sequence is one segment
- decoder tied to the token embeddings; vocabulary padded to a multiple of 64
- the head sees only the predicted positions, a fixed number a sequence: static shapes, one graph, no synchronisation
- the last layer computes queries and feed-forward only for those positions, which does not change the result

Shapes: B sequences, S tokens, D width, H heads, K head width, F feed-forward width, V padded vocabulary, M predicted
tokens a sequence, Q query positions (S, or M in the last layer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertd.model.token_loss import token_loss

NORM_EPS = 1e-12
"""Source: Devlin et al. 2019's code; stock transformers writes the same into its configurations."""

ROTARY_BASE = 10_000.0
"""Wavelengths of the rotary angles reach from 2 pi to this times 2 pi. Source: Su et al. 2021, arXiv 2104.09864."""

GLOBAL_EVERY = 3
"""Source: Warner et al. 2024, section 2.1.2."""

_PADDED_ENTRY_BIAS = -1e4
"""Output bias of the entries that only pad the vocabulary: their probability and their gradient are exactly 0."""


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that decides the shape of the weights and the mathematics of the forward pass."""

    vocab_size: int
    """Real entries."""
    max_positions: int
    layers: int
    width: int
    heads: int
    ffn: int
    norm: Literal["pre", "post"]
    embedding_norm: bool
    activation: Literal["gelu", "gelu_tanh", "geglu"]
    positions: Literal["learned", "rotary"]
    bias: bool
    """In the linear layers; norms and the decoder always have one."""
    dropout: float
    attention_dropout: float
    depth_scaled_init: bool = False
    norm_eps: float = NORM_EPS
    rotary_base: float = ROTARY_BASE
    local_attention: int | None = None
    """Window of the local layers in positions, half of it on each side. None: every layer is global."""
    global_every: int = GLOBAL_EVERY
    """Every how many layers one is global, beginning with the first."""
    local_rotary_base: float = ROTARY_BASE
    """`rotary_base` of the local layers."""
    has_bf16_residual: bool = False
    """Under autocast to bf16, keep the residual in bf16 too; without autocast it is fp32 all the same."""

    def is_local(self, layer: int) -> bool:
        """Whether the layer with this index has local attention."""
        return self.local_attention is not None and layer % self.global_every > 0

    @property
    def padded_vocab_size(self) -> int:
        """Rounded up to a multiple of 64, which suits matrix units: 30,522 becomes 30,528."""
        return -(-self.vocab_size // 64) * 64


class _UndrawnLinear(nn.Linear):
    """Torch would draw weights that MaskedLanguageModel draws once more."""

    def reset_parameters(self) -> None:
        """Leave the memory as it is."""


class _UndrawnEmbedding(nn.Embedding):
    """The same."""

    def reset_parameters(self) -> None:
        """Leave the memory as it is."""


def _linear(inputs: int, outputs: int, config: EncoderConfig) -> nn.Linear:
    return _UndrawnLinear(inputs, outputs, bias=config.bias)


def _norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=config.norm_eps)


def _to_residual(x: Tensor, config: EncoderConfig) -> Tensor:
    """Cast what becomes the residual: embeddings, and on a GPU the norms, are fp32 under autocast."""
    device = x.device.type
    if config.has_bf16_residual and torch.is_autocast_enabled(device):
        return x.to(torch.get_autocast_dtype(device))
    return x


def _activate(x: Tensor, config: EncoderConfig) -> Tensor:
    return F.gelu(x, approximate="tanh" if config.activation == "gelu_tanh" else "none")


def gather_positions(x_BSD: Tensor, positions_BM: Tensor) -> Tensor:
    """Pick M rows of each sequence: BSD, BM -> BMD."""
    return x_BSD.gather(1, positions_BM.unsqueeze(-1).expand(-1, -1, x_BSD.size(-1)))


def rotary_angles(length: int, head_width: int, *, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, SK each, that rotate the pairs (i, i + K/2) of a head by an angle that grows with position."""
    frequencies = base ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    angles_SK = torch.outer(torch.arange(length, dtype=torch.float32), frequencies).repeat(1, 2)
    return angles_SK.cos(), angles_SK.sin()


def rotate(x_BHQK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys by their positions' angles; cos and sin broadcast to x."""
    low, high = x_BHQK.chunk(2, dim=-1)
    return x_BHQK * cos + torch.cat([-high, low], dim=-1) * sin


class Embeddings(nn.Module):
    """Tokens, and learned positions. BERT's segments are left out: every sequence here is one segment."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = _UndrawnEmbedding(config.padded_vocab_size, config.width)
        has_learned_positions = config.positions == "learned"
        self.positions = _UndrawnEmbedding(config.max_positions, config.width) if has_learned_positions else None
        self.norm = _norm(config) if config.embedding_norm else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BS: Tensor) -> Tensor:
        """BS int64 -> BSD."""
        x_BSD = self.tokens(ids_BS)
        if self.positions is not None:
            x_BSD = x_BSD + self.positions.weight[: ids_BS.size(1)]
        if self.norm is not None:
            x_BSD = self.norm(x_BSD)
        dropped: Tensor = self.dropout(_to_residual(x_BSD, self.config))
        return dropped


class PackedAttention(Protocol):
    """Attention over the linear layers' products as they are, for positions that are learned and see everything."""

    def __call__(
        self, q_BMHK: Tensor | None, packed_BSPHK: Tensor, *, attention_mask_BS: Tensor | None, dropout: float
    ) -> Tensor:
        """Attend.

        Args:
            q_BMHK: the queries; None where the product has them.
            packed_BSPHK: q, k and v of all positions, or k and v: P is 3 or 2.
            attention_mask_BS: False where a position may not be looked at; None where all may.
            dropout: share of the weights to drop.

        Returns:
            BQD.
        """


class Attention(nn.Module):
    """Multi-head self-attention, global or local, on request for a subset of the queries."""

    def __init__(self, config: EncoderConfig, *, is_local: bool) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.attention_dropout
        self.packed_attention: PackedAttention | None = None
        """Set by use_packed_attention; None for PyTorch's."""
        # One matrix for q, k and v: one large product instead of three.
        self.qkv = _linear(config.width, 3 * config.width, config)
        self.out = _linear(config.width, config.width, config)
        self.is_rotary = config.positions == "rotary"
        if self.is_rotary:
            head_width = config.width // config.heads
            base = config.local_rotary_base if is_local else config.rotary_base
            cos_SK, sin_SK = rotary_angles(config.max_positions, head_width, base=base)
            self.register_buffer("cos_SK", cos_SK, persistent=False)
            self.register_buffer("sin_SK", sin_SK, persistent=False)

    def forward(self, x_BSD: Tensor, query_positions_BM: Tensor | None, attention_mask_B1QS: Tensor | None) -> Tensor:
        """Attend from the query positions to all positions.

        Args:
            x_BSD: input of queries, keys and values.
            query_positions_BM: positions to compute queries for; None for all.
            attention_mask_B1QS: True where a query may attend to a key, broadcast; None for all, which is faster.

        Returns:
            BQD.
        """
        # Project the input to queries, keys and values: one product of all three, or the queries apart.
        q_BMD, packed = self._project(x_BSD, query_positions_BM)
        dropout = self.dropout if self.training else 0.0
        if self.packed_attention is not None:
            B, S, D = x_BSD.shape
            H, K = self.heads, D // self.heads
            mixed_BQD = self.packed_attention(
                None if q_BMD is None else q_BMD.view(B, -1, H, K),
                packed.view(B, S, -1, H, K),
                # Without local attention a mask is of padding, B11S.
                attention_mask_BS=None if attention_mask_B1QS is None else attention_mask_B1QS[:, 0, 0],
                dropout=dropout,
            )
        else:
            # Split each into heads.
            parts = torch.chunk(packed, 3, dim=-1) if q_BMD is None else (q_BMD, *torch.chunk(packed, 2, dim=-1))
            q, k, v = (self._split_heads(part) for part in parts)
            # Rotary positions: rotate queries and keys, so that a score depends on the distance of the two.
            if self.is_rotary:
                q, k = self._apply_rotary(q, k, query_positions_BM)
            # softmax(q k^T / sqrt(K), masked) v, in a fused kernel where torch has one.
            mixed_BHQK = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask_B1QS, dropout_p=dropout)
            mixed_BQD = mixed_BHQK.transpose(1, 2).flatten(2)
        # Project the joined heads back to the width of the residual.
        out_BQD: Tensor = self.out(mixed_BQD)
        return out_BQD

    def _project(self, x_BSD: Tensor, query_positions_BM: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Queries of the query positions, and keys and values of all in one product; with the queries if all query."""
        if query_positions_BM is None:
            return None, self.qkv(x_BSD)
        # Query subset: gather its inputs first, and multiply them by the query rows of the weight alone.
        D, weight, bias = self.out.in_features, self.qkv.weight, self.qkv.bias
        q_BMD = F.linear(gather_positions(x_BSD, query_positions_BM), weight[:D], None if bias is None else bias[:D])
        return q_BMD, F.linear(x_BSD, weight[D:], None if bias is None else bias[D:])

    def _apply_rotary(self, q_BHQK: Tensor, k_BHSK: Tensor, query_positions_BM: Tensor | None) -> tuple[Tensor, Tensor]:
        S = k_BHSK.size(2)
        cos_SK, sin_SK = self.get_buffer("cos_SK")[:S].to(k_BHSK.dtype), self.get_buffer("sin_SK")[:S].to(k_BHSK.dtype)
        rotated_k = rotate(k_BHSK, cos_SK, sin_SK)
        if query_positions_BM is None:
            return rotate(q_BHQK, cos_SK, sin_SK), rotated_k
        # Each sequence has its own query positions: B1MK, the same for all heads.
        return rotate(
            q_BHQK, cos_SK[query_positions_BM].unsqueeze(1), sin_SK[query_positions_BM].unsqueeze(1)
        ), rotated_k

    def _split_heads(self, x_BSD: Tensor) -> Tensor:
        B, S, D = x_BSD.shape
        return x_BSD.view(B, S, self.heads, D // self.heads).transpose(1, 2)


def use_packed_attention(model: nn.Module, attend: PackedAttention | None) -> None:
    """Have a model's layers attend with a function, or as PyTorch does; those with rotary positions always do that."""
    for module in model.modules():
        if isinstance(module, Attention) and not module.is_rotary:
            module.packed_attention = attend


class FeedForward(nn.Module):
    """Two linear layers with an activation between, for each position; GeGLU multiplies by a second projection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.is_gated = config.activation == "geglu"
        self.up = _linear(config.width, (2 if self.is_gated else 1) * config.ffn, config)
        self.down = _linear(config.ffn, config.width, config)

    def forward(self, x_BQD: Tensor) -> Tensor:
        """BQD -> BQD."""
        inner = self.up(x_BQD)
        if self.is_gated:
            inner, gate = torch.chunk(inner, 2, dim=-1)
            inner = _activate(inner, self.config) * gate
        else:
            inner = _activate(inner, self.config)
        out_BQD: Tensor = self.down(inner)
        return out_BQD


class Layer(nn.Module):
    """Attention and feed-forward, each around a residual; LayerNorm before them (pre) or after the sum (post)."""

    def __init__(self, config: EncoderConfig, *, index: int) -> None:
        super().__init__()
        self.config = config
        self.is_pre_norm = config.norm == "pre"
        self.is_local = config.is_local(index)
        self.attention = Attention(config, is_local=self.is_local)
        # ModernBERT: the embeddings are already normed, so the first layer does not norm before its attention.
        is_already_normed = index == 0 and config.positions == "rotary"
        self.attention_norm = nn.Identity() if is_already_normed else _norm(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = _norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BSD: Tensor, attention_mask_B1QS: Tensor | None, query_positions_BM: Tensor | None) -> Tensor:
        """Transform all positions, or with `query_positions_BM` just those: BSD -> BQD."""
        input_BSD = self.attention_norm(x_BSD) if self.is_pre_norm else x_BSD
        mixed_BQD = self.attention(input_BSD, query_positions_BM, attention_mask_B1QS)
        # The residual of a query subset needs the same positions.
        residual_BQD = x_BSD if query_positions_BM is None else gather_positions(x_BSD, query_positions_BM)
        x_BQD = residual_BQD + self.dropout(mixed_BQD)
        if self.is_pre_norm:
            out_BQD: Tensor = x_BQD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BQD)))
            return out_BQD
        x_BQD = _to_residual(self.attention_norm(x_BQD), self.config)
        normed_BQD: Tensor = self.feed_forward_norm(x_BQD + self.dropout(self.feed_forward(x_BQD)))
        return _to_residual(normed_BQD, self.config)


class Encoder(nn.Module):
    """Embeddings, layers, and the final norm that pre-LN needs."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, index=index) for index in range(config.layers))
        self.norm = _norm(config) if config.norm == "pre" else None
        self.half_window = config.max_positions if config.local_attention is None else config.local_attention // 2
        """Positions that a local layer attends to on each side."""

    def forward(
        self, ids_BS: Tensor, *, attention_mask_BS: Tensor | None = None, query_positions_BM: Tensor | None = None
    ) -> Tensor:
        """Encode.

        Args:
            ids_BS: int64 token ids, S at most max_positions.
            attention_mask_BS: False at padding; None where there is none.
            query_positions_BM: positions to return; None for all.

        Returns:
            BSD, or BMD with `query_positions_BM`.
        """
        global_mask_B11S = None if attention_mask_BS is None else attention_mask_BS[:, None, None, :]
        local_mask_B1SS = self._local_mask(ids_BS, attention_mask_BS, None)
        x = self.embeddings(ids_BS)
        # All layers but the last compute every position, since the next layer needs them as keys and values.
        *all_but_last, last = self.layers
        for layer in all_but_last:
            x = layer(x, local_mask_B1SS if layer.is_local else global_mask_B11S, None)
        # The last layer computes only the query positions.
        x = last(
            x,
            self._local_mask(ids_BS, attention_mask_BS, query_positions_BM) if last.is_local else global_mask_B11S,
            query_positions_BM,
        )
        return self._norm_output(x)

    def compile_by_layer(self, *, options: dict[str, Any] | None = None) -> None:
        """Compile embeddings, each layer and the final norm apart, in place."""
        for part in (self.embeddings, *self.layers):
            part.compile(fullgraph=True, dynamic=False, options=options)
        if self.norm is not None:
            # A method, since the compiler does not begin a graph in torch's own modules.
            compiled = torch.compile(self._norm_output, fullgraph=True, dynamic=False, options=options)
            self._norm_output = compiled  # type: ignore[method-assign]  # the same, compiled

    def _norm_output(self, x: Tensor) -> Tensor:
        encoded: Tensor = x if self.norm is None else self.norm(x)
        return encoded

    def _local_mask(
        self, ids_BS: Tensor, attention_mask_BS: Tensor | None, query_positions_BM: Tensor | None
    ) -> Tensor | None:
        """Attention mask of the local layers: B1QS, broadcast; None where it masks nothing."""
        S = ids_BS.size(1)
        # A window that covers the sequence is global attention.
        if self.half_window >= S - 1:
            return None if attention_mask_BS is None else attention_mask_BS[:, None, None, :]
        # The window: queries and keys that are at most half_window positions apart.
        positions_S = torch.arange(S, device=ids_BS.device)
        query_index_BQ = positions_S.unsqueeze(0) if query_positions_BM is None else query_positions_BM
        local_mask_BQS = (query_index_BQ.unsqueeze(2) - positions_S).abs() <= self.half_window
        if attention_mask_BS is not None:
            # Padding queries may attend to padding: far from all text, a softmax over nothing would not be finite.
            is_padding_BQ = ~attention_mask_BS.gather(1, query_index_BQ.expand(len(attention_mask_BS), -1))
            local_mask_BQS = local_mask_BQS & (attention_mask_BS.unsqueeze(1) | is_padding_BQ.unsqueeze(2))
        return local_mask_BQS.unsqueeze(1)


class Head(nn.Module):
    """Dense, activation, norm, and a decoder that shares the token embeddings. Source: Devlin et al. 2019's code."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.dense = _linear(config.width, config.width, config)
        self.norm = _norm(config)
        self.bias = nn.Parameter(torch.zeros(config.padded_vocab_size))

    def forward(self, x_BMD: Tensor, tokens_VD: Tensor) -> Tensor:
        """BMD -> logits BMV."""
        return F.linear(self.transform(x_BMD), tokens_VD, self.bias)

    def transform(self, x_BMD: Tensor) -> Tensor:
        """The decoder's input: BMD -> BMD."""
        hidden_BMD: Tensor = self.norm(_activate(self.dense(x_BMD), self.config))
        return hidden_BMD


class MaskedLanguageModel(nn.Module):
    """The encoder with its head: what is pretrained."""

    def __init__(self, config: EncoderConfig, *, seed: int | None) -> None:
        """Draw the weights on the CPU from `seed` alone, whatever the global generator's state.

        None is for a model that is thrown away: it draws from the generator of torch's default device, and is built
        there.
        """
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Head(config)
        self._initialise(None if seed is None else torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator | None) -> None:
        # N(0, 0.02) in every matrix, drawn separately for each: in 24hBERT's code the feed-forward matrices of all
        # layers were copies of one draw.
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if self.config.depth_scaled_init:
            # Scale down what each layer adds to the residual, so that the sum does not grow with depth.
            for module in self.modules():
                if isinstance(module, Layer):
                    module.attention.out.weight /= (2 * self.config.layers) ** 0.5
                    module.feed_forward.down.weight /= (2 * self.config.layers) ** 0.5
        num_padding = self.config.padded_vocab_size - self.config.vocab_size
        self.head.bias.narrow(0, self.config.vocab_size, num_padding).fill_(_PADDED_ENTRY_BIAS)

    def logits(self, ids_BS: Tensor, *, attention_mask_BS: Tensor | None = None) -> Tensor:
        """Scores of every real vocabulary entry at every position: BS -> BSV without the padding entries."""
        logits_BSV: Tensor = self.head(
            self.encoder(ids_BS, attention_mask_BS=attention_mask_BS), self.encoder.embeddings.tokens.weight
        )
        return logits_BSV[..., : self.config.vocab_size]

    def forward(
        self, inputs_BS: Tensor, positions_BM: Tensor, labels_BM: Tensor, attention_mask_BS: Tensor | None = None
    ) -> Tensor:
        """Sum of the labels' cross-entropies, in nats; the label -100, torch's ignore_index, marks an unused slot.

        Args:
            inputs_BS: int64 ids after masking.
            positions_BM: int64 positions to predict.
            labels_BM: int64 original ids there.
            attention_mask_BS: False at padding; None where there is none.
        """
        x_BMD = self.encoder(inputs_BS, attention_mask_BS=attention_mask_BS, query_positions_BM=positions_BM)
        return self._compute_head_loss(x_BMD, labels_BM)

    def compile_by_layer(self, *, options: dict[str, Any] | None = None) -> None:
        """Compile embeddings, each layer, the final norm and the head with its loss apart, in place.

        Equal layers share a graph. Each part is a node of the backward pass, so that a layer's gradients are ready, and
        can be exchanged between ranks, while the layers below are still to come.

        Args:
            options: the compiler's, in place of its defaults.
        """
        self.encoder.compile_by_layer(options=options)
        compiled = torch.compile(self._compute_head_loss, fullgraph=True, dynamic=False, options=options)
        self._compute_head_loss = compiled  # type: ignore[method-assign]  # the same, compiled

    def _compute_head_loss(self, x_BMD: Tensor, labels_BM: Tensor) -> Tensor:
        hidden_ND = self.head.transform(x_BMD).flatten(0, 1)
        tokens_VD = self.encoder.embeddings.tokens.weight
        return token_loss(hidden_ND, tokens_VD, self.head.bias, labels_BM.flatten())

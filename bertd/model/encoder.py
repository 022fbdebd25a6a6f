"""A BERT encoder with a masked-language-model head, read top to bottom.

    ids -> embeddings -> layers x (attention, feed-forward) -> [final norm] -> head at the predicted positions -> loss

Pre-LN is the 24hBERT model (Izsak et al. 2021, section 3; Shoeybi et al. 2019), post-LN is Devlin et al. 2019. Two
things save work without changing the result: the head sees only the predicted positions, a fixed number a sequence
(static shapes, so one graph and no synchronisation), and in the last layer only those positions ask and feed forward.

Shapes: B sequences, S tokens, D width, H heads, K head width, F feed-forward width, V padded vocabulary, M predicted
tokens a sequence, Q query positions (S, or M in the last layer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-12
"""Source: Devlin et al. 2019's code; stock transformers writes the same into its configurations."""

_NEVER = -1e4
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
    activation: Literal["gelu", "gelu_tanh"]
    dropout: float
    attention_dropout: float

    @property
    def padded_vocab_size(self) -> int:
        """Rounded up to a multiple of 64, which matrix units like: 30,522 becomes 30,528."""
        return -(-self.vocab_size // 64) * 64


def _norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.width, eps=NORM_EPS)


def _activate(x: Tensor, config: EncoderConfig) -> Tensor:
    return F.gelu(x, approximate="tanh" if config.activation == "gelu_tanh" else "none")


def gather_positions(x_BSD: Tensor, positions_BM: Tensor) -> Tensor:
    """Pick M rows of each sequence: BSD, BM -> BMD."""
    return x_BSD.gather(1, positions_BM.unsqueeze(-1).expand(-1, -1, x_BSD.size(-1)))


class Embeddings(nn.Module):
    """Token plus learned position. BERT's segments are left out: every sequence here is one segment."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.padded_vocab_size, config.width)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.norm = _norm(config) if config.embedding_norm else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BS: Tensor) -> Tensor:
        """BS int64 -> BSD."""
        x_BSD = self.tokens(ids_BS) + self.positions.weight[: ids_BS.size(1)]
        if self.norm is not None:
            x_BSD = self.norm(x_BSD)
        dropped: Tensor = self.dropout(x_BSD)
        return dropped


class Attention(nn.Module):
    """Every position looks at every position, in H views."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.dropout = config.attention_dropout
        # One matrix for q, k and v: one large product instead of three.
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x_BSD: Tensor, asking_BQD: Tensor | None, keep_B11S: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x_BSD: what can be looked at.
            asking_BQD: the rows of x that ask; None for all of them.
            keep_B11S: True where a position may be looked at; None where all may, which is faster.

        Returns:
            BQD.
        """
        D = self.out.in_features
        if asking_BQD is None:
            q, k, v = self.qkv(x_BSD).chunk(3, dim=-1)
        else:
            q = F.linear(asking_BQD, self.qkv.weight[:D], self.qkv.bias[:D])
            k, v = F.linear(x_BSD, self.qkv.weight[D:], self.qkv.bias[D:]).chunk(2, dim=-1)
        mixed_BHQK = F.scaled_dot_product_attention(
            self._split_heads(q),
            self._split_heads(k),
            self._split_heads(v),
            attn_mask=keep_B11S,
            dropout_p=self.dropout if self.training else 0.0,
        )
        out_BQD: Tensor = self.out(mixed_BHQK.transpose(1, 2).flatten(2))
        return out_BQD

    def _split_heads(self, x_BSD: Tensor) -> Tensor:
        B, S, D = x_BSD.shape
        return x_BSD.view(B, S, self.heads, D // self.heads).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with the activation between, at each position alone."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.up = nn.Linear(config.width, config.ffn)
        self.down = nn.Linear(config.ffn, config.width)

    def forward(self, x_BQD: Tensor) -> Tensor:
        """BQD -> BQD."""
        out_BQD: Tensor = self.down(_activate(self.up(x_BQD), self.config))
        return out_BQD


class Layer(nn.Module):
    """Attention and feed-forward, each around a residual; LayerNorm before them (pre) or behind the sum (post)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.is_pre_norm = config.norm == "pre"
        self.attention = Attention(config)
        self.attention_norm = _norm(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = _norm(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BSD: Tensor, keep_B11S: Tensor | None, only_BM: Tensor | None) -> Tensor:
        """Transform all positions, or with `only_BM` just those: BSD -> BQD."""
        seen_BSD = self.attention_norm(x_BSD) if self.is_pre_norm else x_BSD
        if only_BM is None:
            mixed_BQD = self.attention(seen_BSD, None, keep_B11S)
        else:
            mixed_BQD = self.attention(seen_BSD, gather_positions(seen_BSD, only_BM), keep_B11S)
            x_BSD = gather_positions(x_BSD, only_BM)
        x_BQD = x_BSD + self.dropout(mixed_BQD)
        if self.is_pre_norm:
            out_BQD: Tensor = x_BQD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BQD)))
            return out_BQD
        x_BQD = self.attention_norm(x_BQD)
        out_BQD = self.feed_forward_norm(x_BQD + self.dropout(self.feed_forward(x_BQD)))
        return out_BQD


class Encoder(nn.Module):
    """Embeddings, layers, and the final norm that pre-LN needs."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = _norm(config) if config.norm == "pre" else None

    def forward(self, ids_BS: Tensor, *, keep_BS: Tensor | None = None, only_BM: Tensor | None = None) -> Tensor:
        """Encode.

        Args:
            ids_BS: int64 token ids, S at most max_positions.
            keep_BS: False at padding; None where there is none.
            only_BM: positions whose output is wanted; None for all.

        Returns:
            BSD, or BMD with `only_BM`.
        """
        keep_B11S = None if keep_BS is None else keep_BS[:, None, None, :]
        x = self.embeddings(ids_BS)
        *body, last = self.layers
        for layer in body:
            x = layer(x, keep_B11S, None)
        x = last(x, keep_B11S, only_BM)
        if self.norm is not None:
            x = self.norm(x)
        encoded: Tensor = x
        return encoded


class Head(nn.Module):
    """Dense, activation, norm, and a decoder that shares the token embeddings. Source: Devlin et al. 2019's code."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.dense = nn.Linear(config.width, config.width)
        self.norm = _norm(config)
        self.bias = nn.Parameter(torch.zeros(config.padded_vocab_size))

    def forward(self, x_BMD: Tensor, tokens_VD: Tensor) -> Tensor:
        """BMD -> logits BMV."""
        return F.linear(self.norm(_activate(self.dense(x_BMD), self.config)), tokens_VD, self.bias)


class MaskedLanguageModel(nn.Module):
    """The encoder with its head: what is pretrained."""

    def __init__(self, config: EncoderConfig, *, seed: int) -> None:
        """Draw the weights from `seed` alone, whatever the global generator's state."""
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Head(config)
        self._initialise(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        # N(0, 0.02) in every matrix, a draw of its own for each: in the old code the feed-forward matrices of all
        # layers were copies of one draw.
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        self.head.bias[self.config.vocab_size :] = _NEVER

    def logits(self, ids_BS: Tensor, *, keep_BS: Tensor | None = None) -> Tensor:
        """Scores of every real vocabulary entry at every position: BS -> BSV without the padding entries."""
        scores_BSV: Tensor = self.head(self.encoder(ids_BS, keep_BS=keep_BS), self.encoder.embeddings.tokens.weight)
        return scores_BSV[..., : self.config.vocab_size]

    def forward(
        self, inputs_BS: Tensor, positions_BM: Tensor, labels_BM: Tensor, keep_BS: Tensor | None = None
    ) -> Tensor:
        """Sum of the cross-entropies, in nats, of the labels; -100, torch's own mark, labels a slot that is not used.

        Args:
            inputs_BS: int64 ids after masking.
            positions_BM: int64 positions to predict.
            labels_BM: int64 original ids there.
            keep_BS: False at padding; None where there is none.
        """
        x_BMD = self.encoder(inputs_BS, keep_BS=keep_BS, only_BM=positions_BM)
        scores_BMV = self.head(x_BMD, self.encoder.embeddings.tokens.weight)
        # In fp32 whatever the precision of the rest: 30,000 exponentials are added up.
        return F.cross_entropy(scores_BMV.flatten(0, 1).float(), labels_BM.flatten(), reduction="sum")

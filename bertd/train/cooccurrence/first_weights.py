"""Write first weights with which the first layer predicts a masked word from its neighbours.

The weights of BERT begin as noise. In the first minutes a model learns which words there are, which stand near each
other, and to attend to near positions; all of this can be counted in the text within seconds. So:

1. Token embeddings are a factor of the mutual information of words that stand within three tokens. Each has the same
   length, and lies in one part of the residual's dimensions.
2. Position embeddings lie in another part: cosines and sines at random frequencies, whose products fall with the
   distance (random Fourier features, Rahimi & Recht 2007). A rotation of them, which is linear, shifts the position.
3. Head h of the first layer attends to one or two offsets, by such a rotation in its query matrix. Its value and
   output matrices turn the embedding of the word that stands there into a vector whose product with each word's
   embedding is the mutual information of the two at these offsets, by a regression that is weighted by frequency.
4. What the other layers and all feed-forward layers add to the residual begins at zero, and the head's matrix as a
   small identity, where its activation is nearly linear. With the output bias from the words' frequencies the logits
   are then log share + sum over the neighbours of mutual information, as of a naive Bayes classifier, bounded by the
   last norm.

Everything can be trained from there, and is exported as any other weights. Measured in docs/quality.md.

Shapes: V vocabulary entries, C context words, D width of the residual, T dimensions of tokens, P of positions, K head
width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bertd.model.encoder import Layer, MaskedLanguageModel
from bertd.train.cooccurrence.neighbour_counts import NeighbourCounts
from bertd.train.cooccurrence.word_vectors import factorise, mutual_information

OFFSETS_OF_HEADS = ((-1,), (1,), (-2, -3), (2, 3))
"""Of the first heads of the first layer. Wider ones predicted no better."""
_EMBEDDING_OFFSETS = (-3, -2, -1, 1, 2, 3)
_EMBEDDING_PRIOR = 4.0
"""Counts by chance that are added to a pair."""
_STD = 0.02
"""Of a token embedding's and of a position embedding's entries, as of BERT's."""
_KERNEL_WIDTH = 0.8
"""Positions over which the product of two position embeddings falls to exp(-1/2): less than one, to tell neighbours."""
_SHARPNESS = 10.0
"""Attention score at the offset; far from it scores are about 0."""
_LEAST_OVERLAP = 0.3
"""A query for several offsets is scaled up until its score at each is _SHARPNESS, but not by more than 1 / this."""
_RIDGE = 1e-2
"""Of the regression, relative to the mean diagonal."""
_HEAD_SCALE = 0.1
"""Of the identity: the activation is nearly linear for entries of this size."""
_EVIDENCE_SCALE = 0.03 / 256
"""Share of the regression's result that is added to the residual, per dimension of the residual."""
_LOGIT_SCALE = 3.0 * 256
"""Of the last norm, times the residual's width: with these two the first loss was lowest, at width 256."""


def write_first_weights(
    model: MaskedLanguageModel, counts: NeighbourCounts, *, special: list[int], mask: int, seed: int
) -> None:
    """Replace the first weights of a model with learned positions and pre-norm.

    Args:
        seed: of the rotation and the frequencies that are drawn.
        special: ids of the special tokens, whose embeddings stay as they were drawn, but for the mask's.
        mask: id of the mask token; its embedding is orthogonal to all words', since it says nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layout = _Layout.draw(model, generator)
        vectors_VT = _token_vectors(counts, special=special, width=layout.num_token_dims, generator=generator)
        _write_embeddings(model, layout, vectors_VT, mask=mask)
        _write_attention(model, layout, counts, vectors_VT)
        for number, layer in enumerate(_layers(model)):
            if number:
                layer.attention.out.weight.zero_()
            layer.feed_forward.down.weight.zero_()
        model.head.dense.weight.copy_(_HEAD_SCALE * torch.eye(model.config.width))
        model.head.norm.weight.fill_(_LOGIT_SCALE / model.config.width)


@dataclass(frozen=True)
class _Layout:
    """Which dimensions of the residual are whose: rows of a random rotation, so that every entry has a part in each."""

    tokens_TD: Tensor
    positions_PD: Tensor
    mask_D: Tensor
    frequencies: Tensor
    """P / 2 radians a position."""
    length: float
    """Of a token's and of a position's embedding."""

    @classmethod
    def draw(cls, model: MaskedLanguageModel, generator: torch.Generator) -> _Layout:
        D, P = model.config.width, _num_position_dims(model)
        device = model.head.bias.device
        rotation_DD, _ = torch.linalg.qr(torch.randn(D, D, generator=generator))
        frequencies = torch.randn(P // 2, generator=generator) / _KERNEL_WIDTH
        tokens_TD, positions_PD, mask_1D = rotation_DD.to(device).split([D - P - 1, P, 1])
        return cls(tokens_TD, positions_PD, mask_1D[0], frequencies.to(device), length=_STD * math.sqrt(D))

    @property
    def num_token_dims(self) -> int:
        return len(self.tokens_TD)

    @property
    def norm_gain(self) -> float:
        """By what a norm multiplies a token's embedding, to which that of its position was added: to length sqrt(D)."""
        D = self.tokens_TD.size(1)
        return math.sqrt(D) / (math.sqrt(2) * self.length)


def _layers(model: MaskedLanguageModel) -> list[Layer]:
    return [module for module in model.encoder.layers if isinstance(module, Layer)]


def _num_position_dims(model: MaskedLanguageModel) -> int:
    """Those that a head's queries have, at most a quarter of the residual's; even."""
    width = model.config.width
    return min(width // model.config.heads, width // 4) // 2 * 2


def _token_vectors(counts: NeighbourCounts, *, special: list[int], width: int, generator: torch.Generator) -> Tensor:
    """VT: of length 1; zero for special tokens and for words that do not stand near a context word."""
    table_VC = mutual_information(counts.at(_EMBEDDING_OFFSETS), prior=_EMBEDDING_PRIOR)
    table_VC[special] = 0
    vectors_VT = factorise(table_VC, width=width, generator=generator)
    lengths_V1 = vectors_VT.norm(dim=1, keepdim=True)
    return torch.where(lengths_V1 > 0, vectors_VT / lengths_V1.clamp(min=torch.finfo(lengths_V1.dtype).tiny), 0.0)


def _write_embeddings(model: MaskedLanguageModel, layout: _Layout, vectors_VT: Tensor, *, mask: int) -> None:
    embeddings = model.encoder.embeddings
    is_known_V1 = vectors_VT.norm(dim=1, keepdim=True) > 0
    tokens_VD = embeddings.tokens.weight[: len(vectors_VT)]
    tokens_VD.copy_(torch.where(is_known_V1, layout.length * vectors_VT @ layout.tokens_TD, tokens_VD))
    tokens_VD[mask] = layout.length * layout.mask_D
    positions = embeddings.positions
    assert positions is not None
    angles_SP = torch.arange(len(positions.weight), device=vectors_VT.device).unsqueeze(1) * layout.frequencies
    features_SP = torch.cat([angles_SP.cos(), angles_SP.sin()], dim=1) / math.sqrt(len(layout.frequencies))
    positions.weight.copy_(layout.length * features_SP @ layout.positions_PD)


def _write_attention(model: MaskedLanguageModel, layout: _Layout, counts: NeighbourCounts, vectors_VT: Tensor) -> None:
    attention = _layers(model)[0].attention
    K = model.config.width // model.config.heads
    attention.qkv.weight.zero_()
    attention.out.weight.zero_()
    query_DD, key_DD, value_DD = attention.qkv.weight.chunk(3)
    residual_gain = layout.norm_gain if model.config.embedding_norm else 1.0
    evidence = _Evidence.prepare(layout, counts, vectors_VT, residual_gain=residual_gain)
    # A score is |q| |k| / sqrt(K) where position and offset agree.
    position_length = layout.norm_gain * layout.length
    gain = math.sqrt(_SHARPNESS * math.sqrt(K)) / position_length
    P = len(layout.positions_PD)
    for head, offsets in zip(range(model.config.heads), OFFSETS_OF_HEADS, strict=False):
        rows = slice(head * K, head * K + P)
        rotation_PP, overlap = _shift(layout.frequencies, offsets)
        query_DD[rows] = gain / max(overlap, _LEAST_OVERLAP) * rotation_PP @ layout.positions_PD
        key_DD[rows] = gain * layout.positions_PD
        into_RT, out_of_TR = evidence.regress(counts.at(offsets), rank=K)
        R = len(into_RT)
        value_DD[head * K : head * K + R] = into_RT @ layout.tokens_TD
        attention.out.weight[:, head * K : head * K + R] = layout.tokens_TD.mT @ out_of_TR


def _shift(frequencies: Tensor, offsets: tuple[int, ...]) -> tuple[Tensor, float]:
    """PP that turns a position's features into the mean of those at the offsets; and its product with one of these."""
    cos = torch.stack([torch.cos(frequencies * offset) for offset in offsets]).mean(0)
    sin = torch.stack([torch.sin(frequencies * offset) for offset in offsets]).mean(0)
    rotation_PP = torch.cat([torch.cat([cos.diag(), -sin.diag()], dim=1), torch.cat([sin.diag(), cos.diag()], dim=1)])
    apart = [torch.cos(frequencies * (offsets[0] - other)).mean().item() for other in offsets]
    return rotation_PP, sum(apart) / len(apart)


@dataclass(frozen=True)
class _Evidence:
    """What the regressions of all heads share: E' W X = table, with E of all words and X of the context words."""

    words_VT: Tensor
    word_weights_V1: Tensor
    contexts_CT: Tensor
    """As the first norm gives them."""
    context_weights_C1: Tensor
    word_factor_TT: Tensor
    """Of Cholesky, of the words' weighted Gram matrix."""
    context_factor_TT: Tensor
    scale: float

    @classmethod
    def prepare(
        cls, layout: _Layout, counts: NeighbourCounts, vectors_VT: Tensor, *, residual_gain: float
    ) -> _Evidence:
        """`residual_gain`: by what a norm of the embeddings multiplies them, before anything is added."""
        words_VT = layout.length * vectors_VT
        contexts_CT = layout.norm_gain * words_VT[counts.contexts_C]
        word_weights_V1 = counts.frequencies_V.to(words_VT).unsqueeze(1)
        context_weights_C1 = word_weights_V1[counts.contexts_C]
        D = layout.tokens_TD.size(1)
        return cls(
            words_VT,
            word_weights_V1,
            contexts_CT,
            context_weights_C1,
            word_factor_TT=_ridge_factor(words_VT, word_weights_V1),
            context_factor_TT=_ridge_factor(contexts_CT, context_weights_C1),
            scale=_EVIDENCE_SCALE * D * residual_gain,
        )

    def regress(self, counts_VC: Tensor, *, rank: int) -> tuple[Tensor, Tensor]:
        """The best W of this rank as two factors of equal norm, scaled: RT and TR."""
        table_VC = mutual_information(counts_VC)
        products_TT = (
            (self.words_VT * self.word_weights_V1).mT @ table_VC @ (self.contexts_CT * self.context_weights_C1)
        )
        # In the coordinates in which both Gram matrices are the identity, the best W is a truncated decomposition.
        half_TT = torch.linalg.solve_triangular(self.word_factor_TT, products_TT, upper=False)
        white_TT = torch.linalg.solve_triangular(self.context_factor_TT, half_TT.mT, upper=False).mT
        left_TR, values_R, right_RT = (
            part[..., :rank] if number < 2 else part[:rank]
            for number, part in enumerate(torch.linalg.svd(white_TT, full_matrices=False))
        )
        roots_R = (self.scale * values_R).sqrt()
        out_of_TR = torch.linalg.solve_triangular(self.word_factor_TT.mT, left_TR * roots_R, upper=True)
        into_TR = torch.linalg.solve_triangular(self.context_factor_TT.mT, right_RT.mT * roots_R, upper=True)
        balance = (out_of_TR.norm() / into_TR.norm()).sqrt()
        return (into_TR * balance).mT, out_of_TR / balance


def _ridge_factor(vectors_NT: Tensor, weights_N1: Tensor) -> Tensor:
    gram_TT = (vectors_NT * weights_N1).mT @ vectors_NT
    gram_TT.diagonal().add_(_RIDGE * gram_TT.diagonal().mean())
    factor_TT: Tensor = torch.linalg.cholesky(gram_TT)
    return factor_TT

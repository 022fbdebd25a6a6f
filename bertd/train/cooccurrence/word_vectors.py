"""Vectors whose products give which words stand together: a factor of a table of pointwise mutual information.

Source of the table and its factor: Levy & Goldberg 2014; Levy et al. 2015. The factor is found by subspace iteration,
Halko et al. 2011, algorithm 4.4, with Gram matrices instead of QR decompositions, which take ten times as long here.

Shapes: V vocabulary entries, C context words, N cells with counts, K width of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor

_ITERATIONS = 2
_OVERSAMPLING = 16
"""Directions found beyond those kept. Source: Halko et al. 2011, section 4.2: 5 or 10."""
_JITTER = 1e-10
"""Added to a Gram matrix, relative to its mean diagonal."""


def mutual_information(counts_VC: Tensor, *, prior: float = 0.0) -> Tensor:
    """Pointwise mutual information of word and context in nats, where it is positive, else 0: VC.

    Args:
        counts_VC: how often they stand together, int64; most are 0, and so is the information there.
        prior: counts, of pairs as chance would have them, that are added to each cell: they draw the values of rare
            pairs, which chance made, towards 0.
    """
    rows_V, columns_C = counts_VC.sum(1), counts_VC.sum(0)
    shares_C = columns_C / columns_C.sum()
    row_N, column_N = counts_VC.nonzero(as_tuple=True)
    expected_N = rows_V[row_N] * shares_C[column_N]
    information_N = ((counts_VC[row_N, column_N] + prior) / (expected_N + prior)).log_().clamp_(min=0)
    table_VC = torch.zeros(counts_VC.shape, dtype=information_N.dtype, device=counts_VC.device)
    table_VC[row_N, column_N] = information_N
    return table_VC


def factorise(table_VC: Tensor, *, width: int, generator: torch.Generator) -> Tensor:
    """Rows of U sqrt(S) of the table's largest singular values: VK, zero where the table's row is."""
    num_directions = min(width + _OVERSAMPLING, *table_VC.shape)
    start = torch.randn(table_VC.size(1), num_directions, generator=generator).to(table_VC)
    basis = table_VC @ start
    for _ in range(_ITERATIONS):
        basis = table_VC @ _orthonormal(table_VC.mT @ _orthonormal(basis))
    basis = _orthonormal(basis)
    left, values, _ = torch.linalg.svd(basis.mT @ table_VC, full_matrices=False)
    # A table of few words has fewer directions than the vectors have entries.
    vectors = basis @ (left[:, :width] * values[:width].sqrt())
    return torch.nn.functional.pad(vectors, (0, width - vectors.size(1)))


def _orthonormal(columns: Tensor) -> Tensor:
    """The same space in orthonormal columns."""
    # In fp64: a Gram matrix has the squares of the lengths.
    exact = columns.double()
    gram = exact.mT @ exact
    gram.diagonal().add_(_JITTER * gram.diagonal().mean())
    factor = torch.linalg.cholesky(gram)
    orthonormal: Tensor = torch.linalg.solve_triangular(factor, exact.mT, upper=False).mT.to(columns.dtype)
    return orthonormal

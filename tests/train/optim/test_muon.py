"""Our Muon computes the same as torch's, for each matrix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from bertd.model.encoder import MaskedLanguageModel
from bertd.run.recipe.schema import OptimizerSection
from bertd.train.distributed.process_group import Ranks
from bertd.train.optim import muon
from bertd.train.optim.muon import Muon, StackedMatrices, orthogonalise
from bertd.train.optim.optimizer import build_optimizers
from tests.model.test_encoder import batch
from tests.model.test_export import TINY
from tests.train.loop.test_trainer import attempt, make_run


def gradient(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("shape", [(16, 16), (32, 16), (16, 32)])
def test_three_steps_equal_torchs(shape: tuple[int, int]) -> None:
    ours, theirs = nn.Parameter(gradient(*shape)), nn.Parameter(gradient(*shape))
    our_muon = Muon([StackedMatrices(ours, 1)], lr=0.01, weight_decay=0.1, momentum=0.95, rank=0, world_size=1)
    torch_muon = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")

    for step in range(3):
        for parameter, each in ((ours, our_muon), (theirs, torch_muon)):
            parameter.grad = gradient(*shape).roll(step)
            each.step()

    # torch iterates in bf16 on CPU too, which has three decimal digits.
    assert torch.allclose(ours, theirs, atol=2e-3)


def test_a_models_hidden_matrices_step_as_torchs_muon_steps_them_at_momentum_0_95() -> None:
    model = MaskedLanguageModel(TINY, seed=1)
    optimizers = build_optimizers(model, OptimizerSection.model_validate({"kind": "muon", "weight_decay": 0.1}))
    name = "encoder.layers.1.feed_forward.down.weight"
    ours = model.get_parameter(name)
    theirs = nn.Parameter(ours.detach().clone())
    torch_muon = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    optimizers.set_learning_rate(0.01)

    for step in range(3):
        for parameter in (*model.parameters(), theirs):
            parameter.grad = gradient(*parameter.shape).roll(step)
        for each in (optimizers.combined, torch_muon):
            each.step()

    assert torch.allclose(ours, theirs, atol=2e-3)
    # The weights alone would hide a momentum of 0.9 in torch's three digits.
    assert torch.allclose(optimizers.tensors()[f"{name}/momentum"], torch_muon.state[theirs]["momentum_buffer"])


def test_q_k_and_v_are_orthogonalised_separately() -> None:
    together, apart = nn.Parameter(torch.zeros(24, 8)), [nn.Parameter(torch.zeros(8, 8)) for _ in range(3)]
    together.grad = gradient(24, 8)
    for part, piece in zip(apart, together.grad.chunk(3), strict=True):
        part.grad = piece.clone()

    Muon([StackedMatrices(together, 3)], lr=0.1, weight_decay=0.0, momentum=0.95, rank=0, world_size=1).step()
    Muon(
        [StackedMatrices(part, 1) for part in apart], lr=0.1, weight_decay=0.0, momentum=0.95, rank=0, world_size=1
    ).step()

    assert torch.allclose(together, torch.cat(list(apart)), atol=1e-6)


def watch_shares(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Record the shares that a rank would send to the others, in a list that grows."""
    shares: list[torch.Tensor] = []

    def gather(out: torch.Tensor, share: torch.Tensor) -> None:
        shares.append(share)
        out.zero_()

    monkeypatch.setattr(dist, "all_gather_into_tensor", gather)
    return shares


def test_each_rank_orthogonalises_its_share_and_together_they_have_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrices = [nn.Parameter(torch.zeros(16, 16)) for _ in range(5)]
    for index, matrix in enumerate(matrices):
        matrix.grad = gradient(16, 16).roll(index)
    shares, worked_on = watch_shares(monkeypatch), list[int]()

    def watched(stacked: torch.Tensor) -> torch.Tensor:
        worked_on.append(len(stacked))
        return orthogonalise(stacked)

    monkeypatch.setattr(muon, "orthogonalise", watched)
    for rank in range(3):
        listed = [StackedMatrices(matrix, 1) for matrix in matrices]
        Muon(listed, lr=0.1, weight_decay=0.0, momentum=0.95, rank=rank, world_size=3).step()

    assert worked_on == [2, 2, 2]
    alone = orthogonalise(torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None]))
    assert torch.allclose(torch.cat(shares)[:5], alone, atol=1e-5)


def test_a_run_shares_muons_work_over_its_ranks(
    tmp_path: Path, dataset: Path, one_of_two: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = watch_shares(monkeypatch)

    with attempt(make_run(tmp_path / "run", dataset, "optimizer.kind=muon"), ranks=one_of_two) as trainer:
        trainer.execute_next_plan()

    # Half of two layers' q, k, v and out, of their up and of their down matrices.
    assert [len(share) for share in shares] == [4, 1, 1]


@pytest.mark.parametrize("shape", [(2, 64, 16), (2, 16, 64), (2, 16, 48)])
def test_iterating_on_the_gram_matrix_gives_the_same_result(shape: tuple[int, int, int]) -> None:
    # Singular values over four decades, as gradients have them.
    stacked = gradient(*shape) * torch.logspace(0, -4, shape[-1])

    ours, exact = orthogonalise(stacked), muon._newton_schulz(_normed(stacked.double()))

    assert torch.allclose(ours, exact.float(), atol=1e-4)


def _normed(x: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = x / x.norm(dim=(-2, -1), keepdim=True)
    return normed


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    values = torch.linalg.svdvals(orthogonalise(gradient(3, 24, 16)))

    assert float(values.min()) > 0.4 and float(values.max()) < 1.3


@pytest.mark.parametrize(("kind", "lr"), [("adamw", 5e-3), ("lamb", 5e-2), ("muon", 5e-3)])
def test_every_optimizer_lowers_the_loss_of_one_batch(kind: str, lr: float) -> None:
    model = MaskedLanguageModel(TINY, seed=1).eval()
    optimizers = build_optimizers(model, OptimizerSection.model_validate({"kind": kind, "peak_lr": lr}))
    losses = []
    for _ in range(20):
        optimizers.zero_grad()
        loss = model(*batch())
        loss.backward()
        optimizers.combined.step()
        losses.append(loss.item())

    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", ["adamw", "lamb", "muon"])
def test_saved_state_goes_back_to_its_owner(kind: str) -> None:
    model = MaskedLanguageModel(TINY, seed=1).eval()
    section = OptimizerSection.model_validate({"kind": kind})
    optimizers = build_optimizers(model, section)
    model(*batch()).backward()
    optimizers.combined.step()
    saved = {name: tensor.clone() for name, tensor in optimizers.tensors().items()}
    others = build_optimizers(model, section)

    others.load_tensors(saved)

    loaded = others.tensors()
    assert loaded.keys() == saved.keys() and len(saved) > 0
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)

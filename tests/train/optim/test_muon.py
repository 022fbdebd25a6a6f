"""Our Muon computes the same as torch's, for each matrix."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, local
from typing import TypeVar

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from bertd.model.encoder import MaskedLanguageModel
from bertd.run.paths import newest_first
from bertd.run.recipe.schema import OptimizerSection
from bertd.train.distributed.process_group import Ranks
from bertd.train.optim import muon
from bertd.train.optim.muon import Muon, StackedMatrices, orthogonalise
from bertd.train.optim.optimizer import build_optimizers
from bertd.train.optim.symmetric_product import SymmetricProduct
from tests.model.test_encoder import batch
from tests.model.test_export import TINY
from tests.train.loop.test_trainer import attempt, make_run
from tests.waiting import PATIENCE_S

T = TypeVar("T")


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


def some_matrices() -> list[StackedMatrices]:
    """Three shapes; two of them have more matrices than parameters, so that a rank's share cuts a parameter."""
    shapes = [(24, 8, 3), (8, 8, 1), (24, 8, 3), (16, 8, 1), (8, 16, 1), (16, 8, 1)]
    made = [
        (nn.Parameter(gradient(rows, columns).roll(index)), blocks)
        for index, (rows, columns, blocks) in enumerate(shapes)
    ]
    return [StackedMatrices(parameter, blocks) for parameter, blocks in made]


def set_gradients(matrices: list[StackedMatrices], step: int) -> None:
    for index, each in enumerate(matrices):
        each.parameter.grad = gradient(*each.parameter.shape).roll(7 * step + index)


def test_on_one_rank_batches_give_bit_for_bit_what_parameters_one_by_one_give() -> None:
    matrices, expected = some_matrices(), some_matrices()
    momenta = {each.parameter: torch.zeros_like(each.parameter) for each in expected}
    batched = Muon(matrices, lr=0.01, weight_decay=0.1, momentum=0.95, rank=0, world_size=1)

    for step in range(3):
        for listed in (matrices, expected):
            set_gradients(listed, step)
        batched.step()
        with torch.no_grad():
            for rows, columns in ((8, 8), (16, 8), (8, 16)):
                own = [
                    each.parameter
                    for each in expected
                    if (len(each.parameter) // each.num_blocks, each.parameter.size(1)) == (rows, columns)
                ]
                directions = []
                for each in own:
                    assert each.grad is not None
                    momenta[each].lerp_(each.grad, 1 - 0.95)
                    directions.append(each.grad.lerp(momenta[each], 0.95).view(-1, rows, columns))
                updates = torch.split(orthogonalise(torch.cat(directions)), [len(each) for each in directions])
                for each, update in zip(own, updates, strict=True):
                    each.mul_(1 - 0.01 * 0.1)
                    each.add_(
                        update.reshape(each.shape),
                        alpha=-0.01 * 0.2 * 16**0.5 if 16 in (rows, columns) else -0.01 * 0.2 * 8**0.5,
                    )

    for ours, theirs in zip(matrices, expected, strict=True):
        assert torch.equal(ours.parameter, theirs.parameter)
        assert torch.equal(batched.state[ours.parameter]["momentum"], momenta[theirs.parameter])


class ThreadedRanks:
    """Ranks as threads of this process, with a collective that waits for all of them."""

    def __init__(self, world_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world_size = world_size
        self._barrier, self._local = Barrier(world_size, timeout=PATIENCE_S), local()
        self._shares: dict[int, torch.Tensor] = {}
        monkeypatch.setattr(dist, "all_gather_into_tensor", self._all_gather)

    def _all_gather(self, out: torch.Tensor, share: torch.Tensor) -> None:
        self._shares[self._local.rank] = share.clone()
        self._barrier.wait()
        out.copy_(torch.cat([self._shares[rank] for rank in range(self.world_size)]))
        self._barrier.wait()

    def run(self, work: Callable[[int], T]) -> list[T]:
        """The results of all ranks."""

        def work_as(rank: int) -> T:
            self._local.rank = rank
            return work(rank)

        with ThreadPoolExecutor(self.world_size) as threads:
            return list(threads.map(work_as, range(self.world_size)))


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (2, 1)])
def test_momentum_that_is_spread_over_ranks_is_whole_in_a_checkpoint_and_goes_to_any_number(
    before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = some_matrices()
    uninterrupted = Muon(alone, lr=0.01, weight_decay=0.1, momentum=0.95, rank=0, world_size=1)
    weights, momenta = [], []
    for step in range(4):
        set_gradients(alone, step)
        uninterrupted.step()
        weights.append([each.parameter.detach().clone() for each in alone])
        momenta.append([uninterrupted.state[each.parameter]["momentum"].clone() for each in alone])

    def train(rank: int, world_size: int, steps: range, saved: list[torch.Tensor] | None) -> list[list[torch.Tensor]]:
        matrices = some_matrices()
        ours = Muon(matrices, lr=0.01, weight_decay=0.1, momentum=0.95, rank=rank, world_size=world_size)
        for index, each in enumerate(matrices):
            if saved is not None:
                with torch.no_grad():
                    each.parameter.copy_(weights[steps.start - 1][index])
                ours.state[each.parameter]["momentum"] = saved[index].clone()
        for step in steps:
            set_gradients(matrices, step)
            ours.step()
        assert ours.is_gathered == (world_size == 1)
        ours.gather_state()
        in_state = [ours.state[each.parameter]["momentum"] for each in matrices if each.parameter in ours.state]
        assert len(in_state) == (len(matrices) if rank == 0 else 0)
        return [[each.parameter.detach() for each in matrices], in_state]

    first = ThreadedRanks(before, monkeypatch).run(lambda rank: train(rank, before, range(2), None))
    saved = first[0][1]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(saved, momenta[1], strict=True))
    for ranks_weights, _ in first:
        assert all(
            torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(ranks_weights, weights[1], strict=True)
        )

    second = ThreadedRanks(after, monkeypatch).run(lambda rank: train(rank, after, range(2, 4), saved))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(second[0][1], momenta[3], strict=True))
    for ranks_weights, _ in second:
        assert all(
            torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(ranks_weights, weights[3], strict=True)
        )


def test_a_rank_keeps_momentum_of_its_share_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def num_kept(rank: int) -> int:
        matrices = some_matrices()
        set_gradients(matrices, 0)
        ours = Muon(matrices, lr=0.01, weight_decay=0.1, momentum=0.95, rank=rank, world_size=4)
        ours.step()
        return sum(0 if each.momentum is None else len(each.momentum) for each in ours._stacks)

    # Of 7, 2 and 1 matrices of the three shapes.
    assert ThreadedRanks(4, monkeypatch).run(num_kept) == [2 + 1 + 1] * 4


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

    def watched(stacked: torch.Tensor, *, product: SymmetricProduct) -> torch.Tensor:
        worked_on.append(len(stacked))
        return orthogonalise(stacked, product=product)

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

    paths = make_run(tmp_path / "run", dataset, "optimizer.kind=muon")
    with attempt(paths, ranks=one_of_two) as trainer:
        trainer.execute_next_plan()

        # Half of two layers' q, k, v and out, of their up and of their down matrices.
        assert [len(share) for share in shares] == [4, 1, 1]
        trainer._save("start")
        # For the checkpoint, their momentum.
        assert [len(share) for share in shares] == [4, 1, 1] * 2

    saved = load_file(newest_first(paths.checkpoints)[0] / "optimizer.safetensors")
    momenta = {name: tensor for name, tensor in saved.items() if name.endswith("/momentum")}
    assert len(momenta) == 2 * 4 and momenta["encoder.layers.1.attention.qkv.weight/momentum"].shape[0] == 3 * 32


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
    # Used by the next step, also in the place of momentum that there was: as in a rollback.
    optimizers.combined.step()
    expected = {name: tensor.clone() for name, tensor in optimizers.tensors().items()}
    for each in (others, optimizers):
        each.load_tensors({name: tensor.clone() for name, tensor in saved.items()})
        for parameter, given in zip(each._names, model.parameters(), strict=True):
            parameter.grad = given.grad
        each.combined.step()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in each.tensors().items() if "momentum" in name)

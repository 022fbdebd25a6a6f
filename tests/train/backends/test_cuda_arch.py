"""A torch without machine code for a GPU is refused before the first operation, and the error names a wheel for it."""

from __future__ import annotations

import pytest
import torch

from bertd.errors import DeviceError
from bertd.run.recipe.schema import DevicesSection
from bertd.train.backends.cuda_arch import is_capability_supported, require_supported_arch
from bertd.train.backends.leased_device import choose_device
from bertd.train.distributed.process_group import join_ranks

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (CUDA_13, (7, 0), False),  # Titan V
        (CUDA_13, (7, 5), True),
        (CUDA_13, (8, 9), True),  # the code of sm_86
        (CUDA_13, (9, 0), True),
        (CUDA_13, (10, 3), True),
        (CUDA_13, (11, 0), False),
        (CUDA_13, (12, 1), True),
        (CUDA_13, (13, 0), True),  # PTX of compute_120
        (["sm_50", "sm_70"], (7, 5), True),
        (["sm_86"], (8, 0), False),
        (["sm_90a"], (9, 0), True),
        (["sm_100a"], (10, 3), False),
        (["sm_100f"], (10, 3), True),
        (["compute_90a"], (10, 0), False),
        (["compute_100f"], (12, 0), False),
        (["compute_70"], (12, 0), True),
        (["compute_80"], (7, 5), False),
        ([], (9, 0), False),
        (["gfx90a"], (9, 0), False),
    ],
)
def test_what_a_build_runs_on(architectures: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert is_capability_supported(architectures, capability) is runs


@pytest.fixture
def titan_v(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate two GPUs, of which the second is too old for the installed torch."""
    capabilities, names = [(8, 6), (7, 0)], ["NVIDIA GeForce RTX 3090", "NVIDIA TITAN V"]
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CUDA_13)
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_every_rank_meets_a_gpu_that_torch_has_no_code_for(
    titan_v: None, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(DeviceError) as caught:
        join_ranks(DevicesSection(kind="gpu", count=2), store=None)

    message = "GPU 1, NVIDIA TITAN V: has compute capability 7.0, and torch 2.13.0+cu130 is built for sm_75, sm_80, "
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith(
        "install one built for CUDA 12.6, at the latest torch 2.14, see "
        "https://pytorch.org/get-started/previous-versions"
    )


def test_a_gpu_that_is_not_there_is_not_queried(titan_v: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="GPU 1"):
        require_supported_arch(2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    queried: list[int] = []

    def capability(index: int) -> tuple[int, int]:
        queried.append(index)
        return (9, 0)

    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)

    require_supported_arch(2)

    assert queried == [0]


def test_finetuning_refuses_such_a_gpu_too(titan_v: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (11, 0))

    with pytest.raises(DeviceError, match=r"GPU 0, .* capability 11\.0, .*; install one that is newer"):
        choose_device()

"""The peak of a GPU is found by complete words of its name, as the driver reports it."""

from __future__ import annotations

import pytest

from bertd.run.machine.gpu_datasheet import peak_flops


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA GH200 480GB", 989.5e12),
        ("NVIDIA H200", 989.5e12),
        ("NVIDIA H200 NVL", 835.5e12),
        ("NVIDIA H100 80GB HBM3", 989.5e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835.5e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA GeForce RTX 3090", 71e12),
        ("NVIDIA GeForce RTX 3090 Ti", 80e12),
        ("NVIDIA TITAN V", 110e12),
        ("TITAN V", 110e12),
        ("Tesla V100-SXM2-16GB", 125e12),
        ("Tesla V100-PCIE-32GB", 112e12),
        ("Tesla V100S-PCIE-32GB", 130e12),
    ],
)
def test_a_name_of_the_driver_gives_the_peak_of_its_data_sheet(name: str, peak: float) -> None:
    assert peak_flops(name) == peak


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA RTX A1000 Laptop GPU",
        "NVIDIA TITAN RTX",
        "Quadro GV100",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
    ],
)
def test_a_name_that_only_looks_like_one_of_them_has_no_peak(name: str) -> None:
    assert peak_flops(name) is None

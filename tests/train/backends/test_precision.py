"""The number format that `auto` chooses on each device."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from pydantic import ValidationError

from bertd.errors import DeviceError
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.backends.precision import choose_precision, find_unused_tf32
from bertd.train.distributed.process_group import Ranks
from bertd.train.start_report import _collect_device_warnings

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, *, has_bf16: bool) -> None:
    # As torch does it: a GPU that emulates bf16, as a Titan V does, counts unless emulation is excluded.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16 or including_emulation
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA TITAN V")


def test_auto_is_bf16_where_the_gpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, has_bf16=True)

    chosen = choose_precision(PrecisionSection(), GPU)

    assert (chosen.mode, chosen.dtype, chosen.needs_scaler) == ("bf16", torch.bfloat16, False)


def test_auto_is_fp16_with_a_loss_scaler_where_the_gpu_only_emulates_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, has_bf16=False)

    chosen = choose_precision(PrecisionSection(), GPU)

    assert (chosen.mode, chosen.dtype, chosen.needs_scaler) == ("fp16", torch.float16, True)
    with pytest.raises(DeviceError, match='"bf16": NVIDIA TITAN V has no bf16; use "fp16" or "auto"'):
        choose_precision(PrecisionSection(mode="bf16"), GPU)


@pytest.mark.parametrize("has_bf16", [False, True])
def test_auto_is_fp32_on_a_cpu(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    pretend_gpu(monkeypatch, has_bf16=has_bf16)

    chosen = choose_precision(PrecisionSection(), CPU)

    assert (chosen.mode, chosen.dtype, chosen.needs_scaler) == ("fp32", None, False)
    assert choose_precision(PrecisionSection(mode="bf16"), CPU).dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("mode", "capability", "alerts"),
    [
        ("fp32", (8, 0), {"tf32_off"}),
        ("fp32", (9, 0), {"tf32_off"}),
        ("fp32", (7, 5), {"fp32_products"}),
        ("fp32", (6, 1), set()),
        ("bf16", (8, 0), set()),
        ("fp16", (7, 5), set()),
    ],
)
def test_fp32_on_a_gpu_says_which_faster_format_it_has(
    monkeypatch: pytest.MonkeyPatch,
    mode: Literal["fp32", "bf16", "fp16"],
    capability: tuple[int, int],
    alerts: set[str],
) -> None:
    pretend_gpu(monkeypatch, has_bf16=True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    precision = choose_precision(PrecisionSection(mode=mode), GPU)

    warnings = _collect_device_warnings(Ranks(rank=0, world_size=1, device=GPU, control=None), precision)

    assert warnings.keys() & {"tf32_off", "fp32_products"} == alerts
    words = {
        "tf32_off": "TF32 off, which leaves the tensor cores of NVIDIA H200 unused",
        "fp32_products": "the tensor cores of NVIDIA H200 compute in fp16 and are unused",
    }
    assert all(words[code] in warnings[code] for code in alerts)


def test_nothing_is_said_of_tf32_where_it_is_on_or_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, has_bf16=True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    precision = choose_precision(PrecisionSection(mode="fp32"), GPU)
    assert find_unused_tf32(precision, CPU) is None
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert find_unused_tf32(precision, GPU) is None


def test_a_bf16_residual_needs_bf16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, has_bf16=False)
    section = PrecisionSection(residual="bf16")

    with pytest.raises(DeviceError, match='residual = "bf16": mode = "auto" is fp16 on this device; set'):
        choose_precision(section, GPU)
    with pytest.raises(DeviceError, match='mode = "auto" is fp32'):
        choose_precision(section, CPU)
    assert choose_precision(PrecisionSection(mode="bf16", residual="bf16"), CPU).mode == "bf16"
    with pytest.raises(ValidationError, match='residual = "bf16" does not go with mode = "fp32"'):
        PrecisionSection(mode="fp32", residual="bf16")

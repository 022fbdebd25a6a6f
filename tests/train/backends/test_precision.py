"""The number format that `auto` chooses on each device."""

from __future__ import annotations

import pytest
import torch

from bertd.errors import DeviceError
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.backends.precision import choose_precision

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

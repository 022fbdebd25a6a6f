"""What NVIDIA's data sheets say of GPUs, by words of the name that the driver reports. Pure."""

from __future__ import annotations

import re

_PEAK_BF16_FLOPS = {
    "GH200": 989.5e12,
    "H200 NVL": 835.5e12,
    "H200": 989.5e12,
    "H100 NVL": 835.5e12,
    "H100 PCIe": 756e12,
    "H100": 989.5e12,
    "A100": 312e12,
    "RTX 3090 Ti": 80e12,
    "RTX 3090": 71e12,
    "TITAN V": 110e12,
    "V100S": 130e12,
    "V100-PCIE": 112e12,
    "V100": 125e12,
}
"""Dense 16-bit tensor peak; the first match counts."""
_PLANNED = {
    **_PEAK_BF16_FLOPS,
    "A5000": 111.1e12,
    "A6000": 154.8e12,
    "A40": 149.7e12,
    "L40S": 362e12,
    "RTX 4090": 165.2e12,
}
"""Also of GPUs that are only planned with: nobody has compared the name that their driver reports."""


_POWER_LIMIT_W = {
    "H200 NVL": 600.0,
    "H200": 700.0,
    "H100 NVL": 400.0,
    "H100 PCIe": 350.0,
    "H100": 700.0,
    "A100 80GB PCIe": 300.0,
    "A100-PCIE": 250.0,
    "A100": 400.0,
    "RTX 3090 Ti": 450.0,
    "RTX 3090": 350.0,
    "TITAN V": 250.0,
    "V100S": 250.0,
    "V100-PCIE": 250.0,
    "V100": 300.0,
    "A5000": 230.0,
    "A6000": 300.0,
    "A40": 300.0,
    "L40S": 350.0,
    "RTX 4090": 450.0,
}
"""Watts of the whole board; the first match counts. Where the data sheet has a range, its upper end."""


def find_power_limit_w(device_name: str) -> float | None:
    """Watts that the device draws at most, by its driver's name or as people write it; None if none is kept here."""
    if _has_words(device_name, "MIG"):
        return None
    named = next((watts for words, watts in _POWER_LIMIT_W.items() if _has_words(device_name, words)), None)
    if named is not None:
        return named
    sheet_name = find_datasheet_name(device_name)
    return None if sheet_name is None else _POWER_LIMIT_W.get(sheet_name)


def peak_flops(device_name: str) -> float | None:
    """FLOP/s the device can reach in 16 bits; None where no data sheet figure is kept here."""
    if _has_words(device_name, "MIG"):
        # A slice of the card: no data sheet says what it reaches.
        return None
    return next((peak for words, peak in _PEAK_BF16_FLOPS.items() if _has_words(device_name, words)), None)


def find_datasheet_name(name: str) -> str | None:
    """The name on the data sheet of a GPU as people write it: h200, rtx3090, titan-v; None if none is kept here."""
    wanted = _letters(name)
    return next((words for words in _PLANNED if wanted in (_letters(words), _letters(words, "rtx"))), None)


def planned_peak_flops(datasheet_name: str) -> float:
    """As `peak_flops`, for a name that `find_datasheet_name` found."""
    return _PLANNED[datasheet_name]


def planned_names() -> list[str]:
    """Every name on a data sheet that is kept here."""
    return sorted(_PLANNED)


def _letters(name: str, without: str = "") -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix(without)


def _has_words(device_name: str, words: str) -> bool:
    """Whether the name has these complete words: an RTX A1000 is not an A100, and a GH200 is not an H200."""
    return re.search(rf"\b{re.escape(words)}\b", device_name) is not None

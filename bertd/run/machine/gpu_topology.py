"""How close the GPUs of a machine are to each other, read once from the driver.

Source: NVML, nvmlDeviceGetTopologyCommonAncestor and nvmlDeviceGetP2PStatus; `nvidia-smi topo -m` prints the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeAlias


class Closeness(IntEnum):
    """What is between two GPUs; higher is closer. The names in brackets are those of nvidia-smi."""

    SYSTEM = 0
    """The link between CPU sockets (SYS); also where the driver does not say."""
    NODE = 1
    """The bridges of one socket (NODE)."""
    HOST_BRIDGE = 2
    """One host bridge (PHB)."""
    SWITCHES = 3
    """Several PCIe switches (PXB)."""
    SWITCH = 4
    """One PCIe switch (PIX)."""
    BOARD = 5
    """They are on one board."""
    NVLINK = 6
    """NVLink, directly or by a switch of its own (NV#)."""


Links: TypeAlias = Mapping[frozenset[str], Closeness]
"""By the UUIDs of a pair; a pair that is not listed is as far apart as can be."""

_BY_LEVEL = {
    0: Closeness.BOARD,
    10: Closeness.SWITCH,
    20: Closeness.SWITCHES,
    30: Closeness.HOST_BRIDGE,
    40: Closeness.NODE,
    50: Closeness.SYSTEM,
}
"""By nvmlGpuTopologyLevel_t. Source: nvml.h."""
_NVLINK_CAPABILITY = 2
"""NVML_P2P_CAPS_INDEX_NVLINK. Source: nvml.h."""
_P2P_OK = 0
"""NVML_P2P_STATUS_OK. Source: nvml.h."""


def closeness_of(a: str, b: str, links: Links) -> Closeness:
    """How close two GPUs are."""
    return links.get(frozenset((a, b)), Closeness.SYSTEM)


def read_links(nvml: Any, handles: Mapping[str, Any]) -> Links:
    """The closeness of each pair.

    Args:
        nvml: the module pynvml, initialised, or what stands for it.
        handles: of the GPUs, by UUID.
    """
    uuids = list(handles)
    return {
        frozenset((a, b)): _read_closeness(nvml, handles[a], handles[b])
        for index, a in enumerate(uuids)
        for b in uuids[:index]
    }


def _read_closeness(nvml: Any, a: Any, b: Any) -> Closeness:
    try:
        if nvml.nvmlDeviceGetP2PStatus(a, b, _NVLINK_CAPABILITY) == _P2P_OK:
            return Closeness.NVLINK
    except (nvml.NVMLError, AttributeError):
        # An old driver, or an instance of a divided GPU.
        pass
    try:
        return _BY_LEVEL.get(nvml.nvmlDeviceGetTopologyCommonAncestor(a, b), Closeness.SYSTEM)
    except (nvml.NVMLError, AttributeError):
        return Closeness.SYSTEM

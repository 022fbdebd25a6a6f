"""Which GPUs the daemon may lease: those that CUDA_VISIBLE_DEVICES of its own environment allows. Pure.

The variable is read as CUDA reads it: entries from left to right, up to the first that names no device. An entry is an
index, the UUID of a GPU or of a MIG instance, or a prefix of one that names one device alone.
Source: CUDA C++ Programming Guide, CUDA environment variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuIdentity:
    """A GPU or a MIG instance, in the order of the PCI bus as nvidia-smi lists them."""

    uuid: str
    """GPU-..., or MIG-... of an instance."""
    name: str


@dataclass(frozen=True)
class VisibleGpus:
    """What may be leased, and why the others are not."""

    uuids: tuple[str, ...]
    left_out_reason: str
    """Empty where nothing is left out."""


def select_visible_gpus(gpus: Sequence[GpuIdentity], environment: Mapping[str, str]) -> VisibleGpus:
    """Apply the environment's CUDA_VISIBLE_DEVICES to the GPUs of a machine."""
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return VisibleGpus(tuple(gpu.uuid for gpu in gpus), "")
    entries = [entry.strip() for entry in value.split(",")]
    if _needs_bus_order(entries, gpus) and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        reason = (
            f"CUDA_VISIBLE_DEVICES={value} has indices, and on GPUs of several kinds CUDA does not count them as "
            "nvidia-smi does; name UUIDs, or set CUDA_DEVICE_ORDER=PCI_BUS_ID, and start the daemon again"
        )
        return VisibleGpus((), reason)
    selected: list[str] = []
    unknown = ""
    for entry in entries:
        uuid = _find_uuid(entry, gpus)
        if uuid is None:
            # CUDA ignores this entry and all after it. "-1", "NoDevFiles" and an empty value are used to show none.
            unknown = entry if entry not in ("", "-1", "NoDevFiles", "none", "void") else ""
            break
        if uuid not in selected:
            selected.append(uuid)
    num_left_out = len(gpus) - len(selected)
    if not num_left_out:
        return VisibleGpus(tuple(selected), "")
    ending = f", whose entry {unknown!r} names no GPU here" if unknown else ""
    return VisibleGpus(
        tuple(selected), f"CUDA_VISIBLE_DEVICES={value} leaves out {num_left_out} of {len(gpus)} GPUs{ending}"
    )


def _needs_bus_order(entries: Sequence[str], gpus: Sequence[GpuIdentity]) -> bool:
    """Whether an index may mean another GPU: by default CUDA counts the fastest first."""
    has_index = any(entry.isdecimal() for entry in entries)
    return has_index and len({gpu.name for gpu in gpus}) > 1


def _find_uuid(entry: str, gpus: Sequence[GpuIdentity]) -> str | None:
    if entry.isdecimal():
        return gpus[int(entry)].uuid if int(entry) < len(gpus) else None
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    matching = [gpu.uuid for gpu in gpus if gpu.uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None

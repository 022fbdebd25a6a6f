"""Admit a job of kind command: its program, its folder, its environment and its devices."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bertd.api.models import SubmitCommand
from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.errors import ClientError, DeviceError, SubmissionError
from bertd.jobs.runner.command_job_runner import require_program
from bertd.run.amounts.quantities import format_bytes, format_count
from bertd.run.machine.command_environment import refusal_of_variable
from bertd.run.machine.trusted_folders import is_root_or_own


def require_right(uid: int, *, for_operators: bool) -> None:
    """Refuse a command of an operator where the configuration does not let operators run programs.

    Raises:
        ClientError: it does not, and the operator is neither root nor the daemon's own user.
    """
    if not for_operators and not is_root_or_own(uid):
        raise ClientError(
            f"uid {uid}: may not run programs as the daemon's user, since commands.for_operators is false; ask root"
        )


def require_command(request: SubmitCommand) -> None:
    """Refuse a command that is known to fail.

    Raises:
        SubmissionError: its folder or its program is not there, or a variable may not be passed.
    """
    cwd = Path(request.cwd)
    if not cwd.is_absolute():
        raise SubmissionError(f"{request.cwd}: the command's folder is not absolute; give its whole path")
    for name in request.environment:
        if (refusal := refusal_of_variable(name)) is not None:
            # Without its value, which may be a secret.
            raise SubmissionError(f"--env {name}: {refusal}")
    texts = [*request.argv, request.cwd, *request.environment.values()]
    if any("\0" in text for text in texts):
        raise SubmissionError("an argument, the folder or a variable has a NUL character; leave it out")
    if not request.argv[0]:
        raise SubmissionError("the program's name is empty; give it after --")
    require_program(request.argv[0], cwd=cwd, search_path=request.environment.get("PATH"))


def choose_command_devices(request: SubmitCommand, *, inventory: Inventory) -> tuple[Literal["cpu", "gpu"], int]:
    """What it gets: whole GPUs, or cores and no GPU.

    Raises:
        DeviceError: the machine has fewer, or no card with the memory.
    """
    if request.memory_bytes is not None and request.devices != 1:
        raise DeviceError(f"--memory: is a part of one GPU, not of {request.devices}; give --devices 1")
    if request.memory_bytes is not None:
        require_memory(request.memory_bytes, inventory=inventory)
    kind: Literal["cpu", "gpu"] = "gpu" if request.devices else "cpu"
    number, available = (request.devices or request.cpus), inventory.count(kind)
    if number <= available:
        return kind, number
    why = f" ({inventory.no_gpu_reason})" if kind == "gpu" and inventory.no_gpu_reason else ""
    option, unit = ("--devices", "GPU") if kind == "gpu" else ("--cpus", "core")
    remedy = f"give {option} {available}" if available else "give --cpus instead"
    raise DeviceError(f"{option} {number}: this machine has {format_count(available, unit)}{why}; {remedy}")


def require_memory(memory_bytes: int, *, inventory: Inventory) -> None:
    """Refuse a part of a GPU that no card has.

    Raises:
        DeviceError: none has so much memory.
    """
    if inventory.count("gpu", memory_bytes=memory_bytes) or not inventory.gpus:
        return
    largest = format_bytes(max(inventory.cards.memory_bytes.values(), default=0))
    raise DeviceError(f"--memory {format_bytes(memory_bytes)}: the largest card has {largest}; ask for less")

"""The line that says where a table was measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch

from bertd.run.machine.cpu_model import read_cpu_model


def describe_machine() -> str:
    """Processor and versions."""
    return (
        f"{read_cpu_model()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}, "
        f"transformers {version('transformers')}, Python {platform.python_version()}"
    )

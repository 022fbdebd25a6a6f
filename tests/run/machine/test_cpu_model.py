"""The processor's name, for the daemon's devices and a run's provenance."""

from __future__ import annotations

from pathlib import Path

from bertd.run.machine.cpu_model import read_cpu_model


def test_the_first_processor_names_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_bytes(b"processor\t: 0\nmodel name\t: Fast \xff 9000 @ 2.1: GHz\n\nprocessor\t: 1\nmodel name\t: Slow\n")
    assert read_cpu_model(path) == "Fast \ufffd 9000 @ 2.1: GHz"


def test_a_kernel_that_names_none_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert read_cpu_model(path) is None

"""RAPL's counters as the kernel lays them out, in a folder of a test."""

from __future__ import annotations

from pathlib import Path

from bertd.run.machine.cpu_energy import CpuEnergy


def zone(root: Path, name: str, *, label: str, energy_uj: int) -> Path:
    folder = root / "sys/class/powercap" / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "max_energy_range_uj").write_text("1000000\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


def test_packages_are_added_up_and_a_counter_that_begins_again_is_continued(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", label="package-0", energy_uj=100)
    second = zone(tmp_path, "intel-rapl:1", label="package-1", energy_uj=900_000)
    # Its cores are a part of the package, and its DRAM is no CPU.
    zone(tmp_path, "intel-rapl:0:0", label="core", energy_uj=5)
    energy = CpuEnergy(tmp_path)
    assert energy.read_j() == 0.0
    (first / "energy_uj").write_text("500100\n")
    (second / "energy_uj").write_text("100000\n")
    assert energy.read_j() == 0.5 + 0.2


def test_nothing_is_said_where_a_package_cannot_be_read(tmp_path: Path) -> None:
    assert CpuEnergy(tmp_path).read_j() is None
    zone(tmp_path, "intel-rapl:0", label="package-0", energy_uj=100)
    (zone(tmp_path, "intel-rapl:1", label="package-1", energy_uj=7) / "energy_uj").unlink()
    assert CpuEnergy(tmp_path).read_j() is None


def test_a_counter_that_begins_again_at_an_unknown_range_is_not_guessed(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", label="package-0", energy_uj=900_000)
    energy = CpuEnergy(tmp_path)
    (package / "max_energy_range_uj").unlink()
    (package / "energy_uj").write_text("100\n")
    assert energy.read_j() is None
    (package / "energy_uj").write_text("500100\n")
    assert energy.read_j() == 0.5


def test_a_counter_that_cannot_be_read_for_a_while_has_counted_on(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", label="package-0", energy_uj=0)
    energy = CpuEnergy(tmp_path)
    (package / "energy_uj").rename(package / "hidden")
    assert energy.read_j() is None
    (package / "energy_uj").write_text("700000\n")
    assert energy.read_j() == 0.7

"""Faults of the cards that a run has are its alerts, in the words of `bertd doctor`; those of other cards are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertd.run.machine.checks.gpu_checks import check_gpus
from bertd.run.machine.stand_in_nvml import ECC_CARD, THROTTLING_CARD, StandInNvml, eight_cards
from bertd.train.machine_warnings import find_faults, warnings_of


def stand_in() -> StandInNvml:
    return StandInNvml(lambda: 100.0, eight_cards(lost_at_s=1e9, throttles_from_s=0.0, ecc_from_s=90.0))


def test_only_the_runs_own_cards_are_alerted_each_once_and_as_the_doctor_says_it() -> None:
    nvml = stand_in()
    uuids = ",".join(nvml.cards[index].uuid for index in (0, THROTTLING_CARD))
    warnings = warnings_of(find_faults(nvml, {"CUDA_VISIBLE_DEVICES": uuids}, device="cuda", num_ranks=1))
    assert list(warnings) == ["gpu_clocks"]
    said = [finding.sentence for finding in check_gpus(nvml, why_no_nvml="") if finding.check == "GPU clocks"]
    assert [warnings["gpu_clocks"]] == said


def test_several_findings_of_one_check_are_one_alert() -> None:
    nvml = stand_in()
    warnings = warnings_of(
        find_faults(nvml, {"CUDA_VISIBLE_DEVICES": nvml.cards[ECC_CARD].uuid}, device="cuda", num_ranks=1)
    )
    assert list(warnings) == ["gpu_memory"]
    assert "1 memory error not corrected" in warnings["gpu_memory"]
    assert "waits to be replaced" in warnings["gpu_memory"]


def test_a_run_without_named_gpus_has_none() -> None:
    assert find_faults(stand_in(), {}, device="cuda", num_ranks=1) == []


def test_cards_that_cannot_read_each_other_are_alerted_of_a_run_on_both_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = stand_in()
    monkeypatch.setattr(StandInNvml, "nvmlDeviceGetP2PStatus", lambda *_: 1)
    uuids = [card.uuid for card in nvml.cards[:2]]
    both = warnings_of(find_faults(nvml, {"CUDA_VISIBLE_DEVICES": ",".join(uuids)}, device="cuda", num_ranks=2))
    assert "1 pair of GPUs cannot read each other's memory" in both["gpu_peers"]
    assert "gpu_peers" not in warnings_of(
        find_faults(nvml, {"CUDA_VISIBLE_DEVICES": uuids[0]}, device="cuda", num_ranks=1)
    )


@pytest.mark.parametrize(("cuda", "is_alert"), [(None, True), ("13.0", False)])
def test_a_run_on_the_cpu_says_that_torch_is_built_for_it_beside_gpus(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, is_alert: bool
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    warnings = warnings_of(find_faults(stand_in(), {}, device="cpu", num_ranks=1))
    assert ("torch" in warnings) is is_alert
    assert not is_alert or "is built without CUDA, and the driver lists 8 GPUs" in warnings["torch"]
    assert "torch" not in warnings_of(find_faults(None, {}, device="cpu", num_ranks=1))


def test_a_torch_without_its_kernels_for_the_cpu_is_an_alert_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert "without oneDNN" in warnings_of(find_faults(None, {}, device="cpu", num_ranks=1))["onednn"]
    assert "onednn" not in warnings_of(find_faults(stand_in(), {}, device="cuda", num_ranks=1))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_cores_that_are_held_down_are_an_alert(tmp_path: Path, device: str) -> None:
    clock = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    clock.mkdir(parents=True)
    (clock / "scaling_governor").write_text("powersave\n")
    (clock / "scaling_driver").write_text("acpi-cpufreq\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("50000 100000\n")
    warnings = warnings_of(find_faults(None, {}, device=device, num_ranks=1, root=tmp_path))
    assert set(warnings) == {"cpu_clock", "cores"}
    assert "the time of 0.5 cores" in warnings["cores"]

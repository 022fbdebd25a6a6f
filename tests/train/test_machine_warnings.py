"""Faults of the cards that a run has are its alerts, in the words of `bertd doctor`; those of other cards are not."""

from __future__ import annotations

from bertd.run.machine.checks.gpu_checks import check_gpus
from bertd.run.machine.stand_in_nvml import ECC_CARD, THROTTLING_CARD, StandInNvml, eight_cards
from bertd.train.machine_warnings import find_faults, warnings_of


def stand_in() -> StandInNvml:
    return StandInNvml(lambda: 100.0, eight_cards(lost_at_s=1e9, throttles_from_s=0.0, ecc_from_s=90.0))


def test_only_the_runs_own_cards_are_alerted_each_once_and_as_the_doctor_says_it() -> None:
    nvml = stand_in()
    uuids = ",".join(nvml.cards[index].uuid for index in (0, THROTTLING_CARD))
    warnings = warnings_of(find_faults(nvml, {"CUDA_VISIBLE_DEVICES": uuids}, num_ranks=1))
    assert list(warnings) == ["gpu_clocks"]
    said = [finding.sentence for finding in check_gpus(nvml, why_no_nvml="") if finding.check == "GPU clocks"]
    assert [warnings["gpu_clocks"]] == said


def test_several_findings_of_one_check_are_one_alert() -> None:
    nvml = stand_in()
    warnings = warnings_of(find_faults(nvml, {"CUDA_VISIBLE_DEVICES": nvml.cards[ECC_CARD].uuid}, num_ranks=1))
    assert list(warnings) == ["gpu_memory"]
    assert "1 memory error not corrected" in warnings["gpu_memory"]
    assert "waits to be replaced" in warnings["gpu_memory"]


def test_a_run_without_named_gpus_has_none() -> None:
    assert find_faults(stand_in(), {}, num_ranks=1) == []

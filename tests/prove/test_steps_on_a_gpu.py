"""What steps do on a GPU alone, with stand-ins for the card: a mistake in such a line is not to wait for a card."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bertd.bench import gpu_state
from bertd.bench.models import OURS
from bertd.bench.workload import Workload, plan_workload
from bertd.prove.context import StepContext
from bertd.prove.results import Verdict
from bertd.prove.run_step import ProofOptions, step_environment
from bertd.prove.sizes import choose_recipe
from bertd.prove.steps import environment, kernels, ladder, memory, ranks, resuming, whole_run
from tests.bench.test_gpu_state import FakeNvml


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    options = ProofOptions(out=tmp_path, device="cuda", is_tiny=True, minutes=1.0)
    return StepContext(options, path=tmp_path / "step.json", seconds=60)


@pytest.fixture
def workload() -> Workload:
    recipe = choose_recipe(is_cuda=False, is_tiny=True)
    return plan_workload(recipe, device=torch.device("cpu"), num_sequences=4, is_synthetic=True)


def verdicts(context: StepContext) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in context.findings.checks}


@pytest.mark.parametrize(
    ("cuda", "reason"), [(None, "built without CUDA"), ("13.0", "look at nvidia-smi and the driver")]
)
def test_without_a_gpu_the_reason_is_named_and_the_proof_ends(
    cuda: str | None, reason: str, context: StepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    environment.prove(context)
    assert context.findings.stops_proof == "there is no GPU; --device cpu proves the CPU"
    (check,) = [check for check in context.findings.checks if check.verdict is Verdict.FAIL]
    assert check.name == "a GPU" and reason in check.detail


def test_a_card_that_somebody_else_is_on_fails(context: StepContext, monkeypatch: pytest.MonkeyPatch) -> None:
    class SharedCard(FakeNvml):
        def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802  # as NVML spells it
            return "580.1"

        def nvmlDeviceGetComputeRunningProcesses(self, _: object) -> list[Any]:  # noqa: N802
            return [types.SimpleNamespace(pid=77)]

    monkeypatch.setattr(environment, "load_nvml", lambda: (SharedCard(), ""))
    environment._state_card(context)
    assert verdicts(context) == {"the card is ours alone": Verdict.FAIL}
    assert context.findings.facts["driver"] == "580.1" and "1700 MHz" in context.findings.facts["card now"]


@pytest.mark.parametrize(("after", "verdict"), [(20 << 20, Verdict.PASS), (900 << 20, Verdict.FAIL)])
def test_memory_that_a_run_did_not_return_fails(
    after: int, verdict: Verdict, context: StepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = gpu_state.GpuState(memory_used_bytes=after)
    monkeypatch.setattr(whole_run, "load_nvml", lambda: (FakeNvml(), ""))
    monkeypatch.setattr(whole_run, "sample_gpu", lambda *_: state)
    whole_run._check_memory(context, before=10 << 20)
    assert verdicts(context) == {"the card's memory is returned": verdict}


def test_kernels_are_counted_without_the_names_of_stretches(context: StepContext) -> None:
    def event(name: str, start: float, end: float, *, device: str = "CUDA", is_annotation: bool = False) -> Any:
        times = types.SimpleNamespace(start=start, end=end)
        return types.SimpleNamespace(
            name=name, time_range=times, device_type=f"DeviceType.{device}", is_user_annotation=is_annotation
        )

    events = [
        event("nvjet_tst", 0, 40),
        event("triton_poi_fused_gelu", 60, 100),
        event("Optimizer.step#Muon.step", 0, 100, is_annotation=True),
        event("aten::mm", 0, 5, device="CPU"),
    ]
    profiler: Any = types.SimpleNamespace(events=lambda: events)
    kernels._report_kernels(context, profiler)
    figures = {figure.key: figure.value for figure in context.findings.figures}
    assert figures["kernels.launches"] == 2 and figures["kernels.idle"] == pytest.approx(0.2)
    assert figures["kernels.matrix_products"] == pytest.approx(0.04)


@pytest.mark.parametrize(("peak", "verdict"), [(1 << 20, Verdict.PASS), (1 << 40, Verdict.FAIL)])
def test_a_peak_above_what_the_memory_model_says_fails(
    peak: int, verdict: Verdict, context: StepContext, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend_memory(monkeypatch, peak=peak)
    memory._compare_peak(context, workload, OURS[0], 2, name="ours")
    assert verdicts(context) == {"memory: ours": verdict}


def test_what_does_not_fit_is_skipped_with_what_the_model_says(
    context: StepContext, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    _pretend_memory(monkeypatch, peak=0)
    monkeypatch.setattr(memory, "build_contender", build)
    memory._compare_peak(context, workload, OURS[0], 2, name="ours")
    assert verdicts(context) == {"ours": Verdict.SKIPPED}


def _pretend_memory(monkeypatch: pytest.MonkeyPatch, *, peak: int) -> None:
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    for name in ("empty_cache", "reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, nothing)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 0)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak)


@pytest.mark.parametrize("count", [1, 2])
def test_several_gpus_are_proven_where_there_are_several(
    count: int, context: StepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(ranks, "prove_ranks", lambda _, *, count: proven.append(count))
    ranks.prove(context)
    assert (proven, context.findings.skipped_reason) == (
        ([], "NCCL needs more than one GPU, and 1 is visible") if count == 1 else ([2], None)
    )


def test_a_run_that_differs_by_more_than_two_identical_ones_fails(
    context: StepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of the whole run, of its twin, and of the one that was interrupted."""
    weights = {"whole": 1.0, "twin": 1.001, "resumed": 1.1}
    monkeypatch.setattr(resuming, "_start", lambda *_: None)
    monkeypatch.setattr(resuming, "_finish", lambda *_: None)
    monkeypatch.setattr(resuming, "_chosen_attention", lambda _: "FlashAttention")
    monkeypatch.setattr(
        resuming, "_final_weights", lambda folder: {"w": torch.tensor([weights[folder.name.partition("-")[2]]])}
    )
    recipe = choose_recipe(is_cuda=False, is_tiny=True)
    resuming._compare_runs(context, recipe, name="resume")
    assert verdicts(context) == {"resume: within the noise": Verdict.FAIL}


def test_without_torchao_8_bit_products_are_skipped_by_its_name(
    context: StepContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setitem(sys.modules, "torchao", None)
    ladder._measure_float8(context, "all")
    (check,) = context.findings.checks
    assert check.verdict is Verdict.SKIPPED and "torchao is not installed" in check.detail


def test_a_proof_of_the_cpu_hides_gpus_from_what_it_starts(tmp_path: Path) -> None:
    options = ProofOptions(out=tmp_path, device="cpu", is_tiny=True, minutes=1.0)
    assert step_environment(options)["CUDA_VISIBLE_DEVICES"] == ""

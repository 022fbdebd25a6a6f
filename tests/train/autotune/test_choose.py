"""What a recipe leaves open is measured on a throwaway model, chosen for all ranks, cached and reported."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend

from bertd.errors import DeviceError
from bertd.model.memory import NCCL_BYTES
from bertd.records import StartRecord
from bertd.run.journal import JournalWriter
from bertd.run.paths import RunPaths
from bertd.run.recipe.schema import PrecisionSection
from bertd.train.autotune import attention_backend, micro_batch
from bertd.train.autotune import choose as choose_module
from bertd.train.autotune import kernels as kernels_module
from bertd.train.autotune.attention_backend import (
    AttentionChoice,
    attend_with_own_kernel,
    choose_attention,
    choose_fastest_backends,
    time_backend,
    why_not_own_kernel,
)
from bertd.train.autotune.attention_check import AttentionFunction, attend_by, find_fault
from bertd.train.autotune.attention_workload import AttentionWorkload
from bertd.train.autotune.choose import choose_execution
from bertd.train.autotune.kernels import KernelChoice, choose_kernels, skip_measurement_reason
from bertd.train.autotune.micro_batch import (
    candidate_sizes,
    choose_micro_batch,
    filter_by_memory,
    likely_micro_batches,
    time_limit_s,
)
from bertd.train.autotune.speed_probe import (
    ModelSetup,
    ProbeResult,
    build_throwaway_model,
    release_memory,
    reserved_bytes,
    run_speed_probe,
)
from bertd.train.backends.apex.detect import Apex
from bertd.train.backends.precision import choose_precision
from bertd.train.backends.triton_attention import attend_packed
from bertd.train.distributed.process_group import Ranks
from bertd.train.run_inputs import load_run_inputs
from tests.model.test_encoder import PackedCalls
from tests.model.test_export import MODERN, TINY
from tests.train.loop.test_train_step import ALONE, FP32, FixedBatches, recipe, setup_for, train_step_for, weights_after
from tests.train.loop.test_trainer import final_weights, kind_of, make_run, run_to_end

EAGER = KernelChoice("eager", "", Apex())


@pytest.fixture(autouse=True)
def measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The measurements folder, which does not exist yet."""
    monkeypatch.setenv("BERTD_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / ".measured"


def start_of(paths: RunPaths) -> StartRecord:
    return kind_of(paths, StartRecord)[-1]


# ---- Micro-batch -----------------------------------------------------------------------------------


def test_a_measured_micro_batch_trains_as_the_same_one_written_down(
    tmp_path: Path, dataset: Path, measurements: Path
) -> None:
    sizes = ("batch.sequences=64", "budget.steps=3")
    measured = make_run(tmp_path / "measured", dataset, "batch.micro=auto", *sizes)
    run_to_end(measured)
    start = start_of(measured)
    again = make_run(tmp_path / "again", dataset, "batch.micro=auto", *sizes)
    run_to_end(again)
    written = make_run(tmp_path / "written", dataset, f"batch.micro={start.micro_batch}", *sizes)

    run_to_end(written)

    assert start.micro_batch in (4, 8, 16, 32, 64) and start.accumulation == 64 // start.micro_batch
    assert start.micro_batch_reason.startswith("the fastest, in sequences/s of one rank: 4: ")
    assert start_of(again).micro_batch == start.micro_batch
    assert start_of(again).micro_batch_reason.startswith(f"{start.micro_batch_reason}; measured on 20")
    assert start_of(written).micro_batch_reason == "the recipe says so"
    # Dropout is on: the speed probes drew from the same generator and restored its state.
    ours, theirs = final_weights(measured), final_weights(written)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert len(list(measurements.iterdir())) == 1


def speeds(sizes: dict[int, float | None], tried: list[int]) -> object:
    """A speed probe with these speeds by micro-batch; None does not fit."""

    def probe(setup: ModelSetup, *, micro: int, **_: object) -> ProbeResult:
        tried.append(micro)
        speed = sizes[micro]
        if speed is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ProbeResult(sequences_per_s=speed, first_update_s=0.0)

    return probe


def test_sizes_that_do_not_fit_are_skipped_and_the_fastest_of_the_rest_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []
    setup = setup_for(recipe(8, "batch.sequences=64", "batch.micro=auto"))
    monkeypatch.setattr(micro_batch, "run_speed_probe", speeds({64: None, 32: 5.0, 16: 9.0, 8: 7.0, 4: 1.0}, tried))

    chosen = choose_micro_batch(setup, kernels=EAGER, attention=AttentionChoice(), ranks=ALONE)

    assert chosen.sequences == 16 and sorted(tried) == [4, 8, 16, 32, 64]
    assert chosen.reason == "the fastest, in sequences/s of one rank: 4: 1.0, 8: 7.0, 16: 9.0, 32: 5.0; too large: 64"


def test_a_micro_batch_that_cannot_fit_at_all_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = setup_for(recipe(8, "batch.sequences=8", "batch.micro=auto"))
    monkeypatch.setattr(micro_batch, "run_speed_probe", speeds(dict.fromkeys((4, 8)), []))
    with pytest.raises(DeviceError, match=r"none of 8, 4 sequences fits the .* GiB that .* has free; take a smaller"):
        choose_micro_batch(setup, kernels=EAGER, attention=AttentionChoice(), ranks=ALONE)


def test_where_nothing_has_fitted_when_time_is_up_quarters_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = setup_for(recipe(8, "batch.sequences=64", "batch.micro=auto"))
    tried: list[int] = []
    probe = speeds({16: None, 32: None, 8: None, 64: None, 4: 1.0}, tried)
    monkeypatch.setattr(micro_batch, "run_speed_probe", probe)
    # Each probe takes a minute on this clock.
    monkeypatch.setattr("bertd.train.autotune.micro_batch.time.monotonic", lambda: 60.0 * len(tried))

    assert choose_micro_batch(setup, kernels=EAGER, attention=AttentionChoice(), ranks=ALONE).sequences == 4
    assert tried == [16, 32, 4]


def test_a_damaged_cache_is_measured_again_and_a_failed_write_is_reported(
    monkeypatch: pytest.MonkeyPatch, measurements: Path
) -> None:
    setup = setup_for(recipe(8, "batch.sequences=8", "batch.micro=auto"))
    choose = partial(choose_micro_batch, setup, kernels=EAGER, attention=AttentionChoice(), ranks=ALONE)
    tried: list[int] = []
    monkeypatch.setattr(micro_batch, "run_speed_probe", speeds({4: 2.0, 8: 1.0}, tried))
    choose()
    (file,) = measurements.iterdir()
    file.write_text('{"sequences": ')

    assert choose().sequences == 4 and len(tried) == 4
    assert "measured on" in choose().reason and len(tried) == 4
    file.unlink()
    measurements.rmdir()
    measurements.write_text("in the way")
    assert "; not cached: " in choose().reason


def test_other_ranks_follow_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Second(Ranks):
        """Receives what rank 0 found."""

        def broadcast(self, values: list[float], *, source: int = 0) -> list[float]:
            return [16.0]

    monkeypatch.setattr(micro_batch, "run_speed_probe", None)
    second = Second(rank=1, world_size=2, device=ALONE.device, control=None)
    setup = setup_for(recipe(8, "batch.sequences=64", "batch.micro=auto"))
    assert choose_micro_batch(setup, kernels=EAGER, attention=AttentionChoice(), ranks=second).sequences == 16


def test_candidates_need_few_padding_rows_on_any_rank_and_step() -> None:
    made = recipe(8, "batch.sequences=96", "batch.ramp=[[0.5, 48]]", "devices.count=2", "batch.micro=auto")
    assert candidate_sizes(made, is_cpu=False) == [24, 12, 6, 3, 2, 1]
    assert candidate_sizes(made, is_cpu=True) == [8, 4]
    on_seven = recipe(8, "batch.sequences=4096", "devices.count=7", "batch.micro=auto")
    assert candidate_sizes(on_seven, is_cpu=False)[:4] == [586, 293, 147, 74]


def test_the_memory_model_leaves_out_what_cannot_fit_but_not_all() -> None:
    made = recipe(8, "batch.sequences=64", "batch.micro=auto")
    fit = partial(filter_by_memory, [64, 32, 16, 8], config=TINY, recipe=made, element_bytes=4)
    assert fit(free_bytes=2**40) == [64, 32, 16, 8]
    assert fit(free_bytes=0) == [8]
    limits = [fit(free_bytes=mib * 2**20)[0] for mib in range(1, 200)]
    assert limits == sorted(limits) and set(limits) == {8, 16, 32, 64}


def test_room_is_left_for_what_several_gpus_need_to_exchange_gradients() -> None:
    alone = recipe(8, "batch.sequences=64", "batch.micro=auto", "devices.kind=gpu")
    of_two = recipe(8, "batch.sequences=64", "batch.micro=auto", "devices.kind=gpu", "devices.count=2")
    on_cpus = recipe(8, "batch.sequences=64", "batch.micro=auto", "devices.count=2")
    assert (reserved_bytes(alone), reserved_bytes(of_two), reserved_bytes(on_cpus)) == (0, NCCL_BYTES, 0)
    fit = partial(filter_by_memory, [64, 8], config=TINY, element_bytes=4, free_bytes=NCCL_BYTES)
    assert (fit(recipe=alone), fit(recipe=of_two)) == ([64, 8], [8])


def test_a_speed_probe_holds_that_room(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    empty = torch.empty

    def watched(*size: int, **options: object) -> torch.Tensor:
        if options.get("dtype") is torch.uint8:
            sizes.append(size[0])
        return empty(*size, **options)  # type: ignore[no-any-return, call-overload]  # passed through

    monkeypatch.setattr(torch, "empty", watched)
    monkeypatch.setattr("bertd.model.memory.NCCL_BYTES", 1000)
    of_two = setup_for(recipe(4, "devices.kind=gpu", "devices.count=2"))
    run_speed_probe(of_two, kernels="eager", apex=Apex(), attention=AttentionChoice(), micro=4)
    assert sizes == [1000]


def test_speed_probes_take_at_most_two_minutes_and_a_fiftieth_of_a_budget() -> None:
    assert time_limit_s(recipe(8)) == time_limit_s(recipe(8, "budget.hours=24")) == 120
    assert time_limit_s(recipe(8, "budget.hours=0.1")) == pytest.approx(7.2)


# ---- Kernels ---------------------------------------------------------------------------------------


def test_a_short_budget_is_not_spent_on_measuring_kernels() -> None:
    assert skip_measurement_reason(recipe(8, "budget.hours=2"), device="cpu") is None
    assert skip_measurement_reason(recipe(8), device="cuda") is None
    assert "a budget of 6m 00s is too short" in str(
        skip_measurement_reason(recipe(8, "budget.hours=0.1"), device="cuda")
    )
    assert "set kernels to try it" in str(skip_measurement_reason(recipe(8), device="cpu"))
    # Compiling gains more on a GPU, and so pays sooner.
    half_an_hour = recipe(8, "budget.hours=0.5")
    assert skip_measurement_reason(half_an_hour, device="cuda") is None and skip_measurement_reason(
        half_an_hour, device="cpu"
    )


@pytest.mark.long
def test_kernels_are_measured_where_the_budget_is_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    # Without apex's kernels, on CPU: two probes are left.
    chosen = choose_kernels(
        setup_for(recipe(8, "budget.hours=2")), attention=AttentionChoice(), micros=[4], ranks=ALONE
    )

    assert chosen.name in ("compile", "eager") and chosen.apex == Apex()
    assert chosen.reason.startswith("measured here in sequences/s of one rank, 4 a pass: compile ")
    assert ", eager " in chosen.reason and "its kernels run on cuda" in chosen.reason


def test_kernels_that_fail_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(setup: ModelSetup, *, kernels: str, **_: object) -> ProbeResult:
        if kernels == "compile":
            raise RuntimeError("no C++ compiler\nat all")
        return ProbeResult(sequences_per_s=3.0, first_update_s=0.0)

    monkeypatch.setattr(kernels_module, "run_speed_probe", probe)
    choose = partial(choose_kernels, attention=AttentionChoice(), micros=[4], ranks=ALONE)
    chosen = choose(setup_for(recipe(8, "budget.hours=2")))
    assert chosen.name == "eager" and "; compile failed: no C++ compiler;" in chosen.reason
    earlier = KernelChoice("compile", "measured", Apex())
    assert choose(setup_for(recipe(8, "budget.hours=2")), earlier=earlier) is earlier


def ranks_on(capability: tuple[int, int], patch: pytest.MonkeyPatch, *, fault: str | None = None) -> Ranks:
    """A rank on a simulated GPU."""
    patch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    patch.setattr(kernels_module, "find_compiler_fault", lambda _: fault)
    return Ranks(rank=0, world_size=1, device=torch.device("cuda"), control=None)


@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
def test_from_ampere_on_kernels_are_compiled_without_a_trial(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    ranks = ranks_on(capability, monkeypatch)
    monkeypatch.setattr(kernels_module, "run_speed_probe", None)
    setup = replace(setup_for(recipe(8, "budget.hours=2")), device=ranks.device)
    choose = partial(choose_kernels, attention=AttentionChoice(), micros=[8], ranks=ranks)
    assert choose(setup).name == "compile"
    assert choose(setup).reason == "taken without a trial from compute capability 8.0 on"
    short = replace(setup, recipe=recipe(8, "budget.hours=0.1"))
    assert choose(short).name == "eager" and "too short for compiling to pay" in choose(short).reason


@pytest.mark.parametrize(("capability", "fault"), [((7, 0), None), ((9, 0), "no C compiler")])
def test_on_an_older_gpu_or_without_a_compiler_kernels_are_tried_at_the_size_that_will_be_used(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], fault: str | None
) -> None:
    tried: list[tuple[str, int]] = []

    def probe(setup: ModelSetup, *, kernels: str, micro: int, **_: object) -> ProbeResult:
        tried.append((kernels, micro))
        if kernels == "compile":
            raise RuntimeError("needs Ampere")
        if micro > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ProbeResult(sequences_per_s=100.0 + micro, first_update_s=0.0)

    ranks = ranks_on(capability, monkeypatch, fault=fault)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**40, 2**40))
    monkeypatch.setattr(kernels_module, "detect_apex", lambda *_, **__: Apex())
    monkeypatch.setattr(kernels_module, "_keep_shared_features", lambda apex, _: apex)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA TITAN V")
    monkeypatch.setattr(kernels_module, "run_speed_probe", probe)
    monkeypatch.setattr(micro_batch, "run_speed_probe", probe)
    made = recipe(8, "budget.hours=2", "batch.sequences=64", "batch.micro=auto")
    setup = replace(setup_for(made), device=ranks.device)

    chosen = choose_kernels(setup, attention=AttentionChoice(), micros=likely_micro_batches(setup), ranks=ranks)

    assert chosen.name == "eager" and chosen.speeds == {32: 132.0}
    assert tried == [("compile", 64), ("eager", 64), ("eager", 32)]
    assert "32 a pass: eager 132.0; compile failed: needs Ampere" in chosen.reason
    # What was measured is not measured again.
    tried.clear()
    size = choose_micro_batch(setup, kernels=chosen, attention=AttentionChoice(), ranks=ranks)
    assert size.sequences == 32 and ("eager", 32) not in tried and ("eager", 16) in tried


def test_a_throwaway_model_is_built_on_its_gpu_without_a_copy_on_the_host() -> None:
    setup = replace(setup_for(recipe(8)), device=torch.device("cuda"), config=TINY)
    with FakeTensorMode():
        model = build_throwaway_model(setup, Apex())
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}
    assert model.training and len(list(model.parameters())) > 30


def test_memory_is_returned_to_a_gpu_and_its_peak_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: called.append("empty_cache"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", called.append)
    release_memory(torch.device("cuda"))
    release_memory(ALONE.device)
    assert called == ["empty_cache", torch.device("cuda")]


# ---- A resumed run ---------------------------------------------------------------------------------


def test_a_second_attempt_reuses_what_the_first_measured(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, measurements: Path
) -> None:
    paths = make_run(tmp_path / "run", dataset, "batch.micro=auto", "batch.sequences=64", "budget.steps=1")
    run_to_end(paths)
    first = start_of(paths)
    for file in measurements.iterdir():
        file.unlink()
    monkeypatch.setattr(micro_batch, "run_speed_probe", None)

    run_to_end(paths, number=2)

    second = start_of(paths)
    assert (second.micro_batch, second.micro_batch_reason) == (first.micro_batch, first.micro_batch_reason)
    assert (second.kernels, second.kernels_reason) == (first.kernels, first.kernels_reason)


# ---- Attention -------------------------------------------------------------------------------------


def test_attention_prefers_what_was_fastest_and_says_how_fast() -> None:
    chosen = choose_fastest_backends({"cuDNN": 2e-3, "math": 9e-3, "FlashAttention": 3e-3}, faults={})
    assert chosen.names == ("cuDNN", "FlashAttention", "math")
    assert chosen.backends[0] is SDPBackend.CUDNN_ATTENTION
    assert chosen.reason.endswith("cuDNN 2.00 ms, FlashAttention 3.00 ms, math 9.00 ms")
    workload = AttentionWorkload.from_config(TINY, sequences=2, length=16, predictions=3, is_masked=True)
    assert choose_attention(workload, precision=setup_for(recipe(8)).precision, ranks=ALONE).backends == ()


def test_attention_that_is_left_out_says_why_and_plain_mathematics_is_always_there() -> None:
    partly = choose_fastest_backends({"FlashAttention": 2e-3}, faults={"cuDNN": "No available kernel"})
    assert partly.names == ("FlashAttention", "math")
    assert partly.reason.endswith("FlashAttention 2.00 ms; cuDNN is left out: No available kernel")
    none = choose_fastest_backends({}, faults={"cuDNN": "wrong", "math": "CUDA out of memory"})
    assert none.names == ("math",) and none.reason.startswith("no backend passed, so plain mathematics; cuDNN is left")


def test_attention_for_which_memory_is_too_small_when_it_is_timed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(*_: object, **__: object) -> None:
        return None

    def time_or_fail(attend: AttentionFunction, *_: object, **__: object) -> float:
        if attend is math:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB.\nSee the documentation.")
        return 1e-3

    math = attend_by(SDPBackend.MATH)

    def attend_or_math(backend: SDPBackend) -> AttentionFunction:
        return math if backend is SDPBackend.MATH else attend_by(backend)

    monkeypatch.setattr(attention_backend, "attend_by", attend_or_math)
    monkeypatch.setattr(attention_backend, "find_fault", find_none)
    monkeypatch.setattr(attention_backend, "time_backend", time_or_fail)
    workload = AttentionWorkload.from_config(TINY, sequences=512, length=512, predictions=77, is_masked=False)

    chosen = choose_attention(workload, precision=FP32, ranks=replace(ALONE, device=torch.device("cuda")))

    assert chosen.names == ("cuDNN", "FlashAttention", "memory-efficient", "math")
    assert "math is left out: CUDA out of memory. Tried to allocate 8.00 GiB." in chosen.reason
    assert "See the documentation" not in chosen.reason


def test_our_own_kernel_is_used_where_it_is_the_fastest_and_else_not_at_all() -> None:
    fastest = choose_fastest_backends({"cuDNN": 2e-3, "math": 9e-3, "own kernel": 1e-3}, faults={})
    assert fastest.names == ("own kernel", "cuDNN", "math")
    assert fastest.packed is attend_packed
    # For calls that it does not take: validation by layers with rotary positions, say.
    assert fastest.backends == (SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH)
    slower = choose_fastest_backends({"cuDNN": 2e-3, "own kernel": 3e-3}, faults={})
    assert slower.names == ("cuDNN", "math") and slower.packed is None
    assert slower.reason.endswith("cuDNN 2.00 ms, own kernel 3.00 ms")
    alone = choose_fastest_backends({"own kernel": 3e-3}, faults={"math": "CUDA out of memory"})
    assert alone.names == ("own kernel", "math")


def test_our_own_kernel_is_no_candidate_where_it_cannot_be_used() -> None:
    cpu, bf16, fp32 = ALONE.device, choose_precision(PrecisionSection(mode="bf16"), ALONE.device), FP32
    workload = partial(AttentionWorkload.from_config, sequences=2, predictions=3, is_masked=False)
    wide = replace(TINY, heads=2)
    reason = partial(why_not_own_kernel, precision=bf16, device=cpu)
    assert reason(workload(wide, length=16)) == "it needs a GPU, and this is cpu"
    assert reason(workload(TINY, length=16)) == "it takes heads of width 16, 32, 64, 128, not 8"
    assert reason(workload(wide, length=256)) == "it takes up to 128 tokens, not 256"
    assert reason(workload(MODERN, length=16)) == "it does not turn rotary positions"
    in_fp32 = why_not_own_kernel(workload(wide, length=16), precision=fp32, device=cpu)
    assert in_fp32 == "it is for 16 bits: in fp32 its tiles do not fit the registers"


def test_our_own_kernel_gets_what_the_encoder_would_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so passes the check, if it is right, and can be timed."""
    monkeypatch.setattr(attention_backend, "attend_packed", PackedCalls())
    for is_masked in (False, True):
        workload = AttentionWorkload.from_config(TINY, sequences=2, length=16, predictions=3, is_masked=is_masked)
        assert find_fault(attend_with_own_kernel, workload, device=ALONE.device, dtype=None) is None
        assert time_backend(attend_with_own_kernel, workload, device=ALONE.device, dtype=None) > 0


def test_a_resumed_run_keeps_our_own_kernel_and_measures_again_where_it_is_gone(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.steps=1")
    run_to_end(paths)
    start = start_of(paths).model_copy(update={"attention": "own kernel, math", "attention_reason": "measured"})
    JournalWriter(paths.journal).append(start)
    run_inputs = load_run_inputs(paths)

    monkeypatch.setattr(choose_module, "why_unavailable", lambda _: None)
    kept = choose_execution(run_inputs, ranks=ALONE).attention
    monkeypatch.setattr(choose_module, "why_unavailable", lambda _: "triton is not installed")
    again = choose_execution(run_inputs, ranks=ALONE).attention

    assert kept == AttentionChoice(("own kernel", "math"), "measured") and kept.packed is attend_packed
    assert again.names == () and again.packed is None


@pytest.mark.long
def test_a_graph_that_was_kept_on_disk_is_not_used_for_another_attention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    called = []
    for backend in (SDPBackend.MATH, SDPBackend.FLASH_ATTENTION):
        torch._dynamo.reset()
        train_step, _ = train_step_for(8, kernels="compile", attention=(backend,))
        with train_step.forward.evaluation() as loss_of:
            # The first call compiles; only the second shows which kernels the graph calls.
            loss_of(FixedBatches(8).next_micro_batch())
            with torch.profiler.profile() as profile:
                loss_of(FixedBatches(8).next_micro_batch())
        called.append(any("flash_attention" in event.key for event in profile.key_averages()))

    assert called == [False, True]


def test_a_run_uses_our_own_kernel_where_that_was_chosen() -> None:
    calls = PackedCalls()
    plain, plain_model = train_step_for(8, dropout=0.1)
    chosen, chosen_model = train_step_for(8, dropout=0.1, attention=(SDPBackend.MATH,), packed_attention=calls)

    expected, actual = weights_after(2, plain, plain_model), weights_after(2, chosen, chosen_model)

    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert len(calls.shapes) == 2 * TINY.layers


def test_a_run_uses_the_attention_that_was_chosen() -> None:
    plain, plain_model = train_step_for(8)
    chosen, chosen_model = train_step_for(8, attention=(SDPBackend.MATH,))
    impossible, _ = train_step_for(8, attention=(SDPBackend.CUDNN_ATTENTION,))

    expected, actual = weights_after(2, plain, plain_model), weights_after(2, chosen, chosen_model)

    assert all(torch.allclose(expected[name], actual[name], atol=1e-5) for name in expected)
    with pytest.raises(RuntimeError, match="No (available kernel|viable backend)"):
        impossible.update(step=0, lr=0.0, wants_norm=False)

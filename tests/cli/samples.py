"""Records as a daemon with one run on one H200 and a finetuning queued after it would send them."""

from __future__ import annotations

from bertd.api.models import (
    AuditView,
    BudgetView,
    ConfigurationKeyView,
    DeviceView,
    EventView,
    GarbageView,
    GridEstimateView,
    HookOutcomeView,
    HookView,
    JobView,
    LendEstimateView,
    MachineView,
    RunView,
    ScoreView,
    StatusView,
    VersionView,
)
from bertd.api.sweep_models import SettingView, SweepView
from bertd.records import (
    BudgetUnit,
    CheckpointRecord,
    GpuReading,
    JobKind,
    JobState,
    KeptCheckpoint,
    ScoreRecord,
    SettingState,
    StartRecord,
    StepRecord,
    SweepRung,
    SweepState,
    ValidationRecord,
)

NOW = 1_800_000_000.0


def job(
    id: int = 7, *, state: JobState = JobState.RUNNING, kind: JobKind = JobKind.PRETRAIN, reason: str = ""
) -> JobView:
    return JobView(
        id=id,
        kind=kind,
        name="demo" if kind is JobKind.PRETRAIN else "cola",
        state=state,
        reason=reason,
        priority=0,
        run_id="7-demo",
        folder="/state/runs/7-demo",
        num_devices=2,
        devices=["cpu"] if state is JobState.RUNNING else [],
        owner_uid=1000,
        created_t=NOW - 600,
        started_t=NOW - 590,
        ended_t=None,
        progress=0.5 if state is JobState.RUNNING else None,
    )


def run(*, state: JobState = JobState.RUNNING) -> RunView:
    return RunView(
        id="7-demo",
        job_id=7,
        name="demo",
        state=state,
        reason="",
        folder="/state/runs/7-demo",
        budget=BudgetView(
            unit=BudgetUnit.HOURS,
            amount=24.0,
            spent=12.0,
            progress=0.5,
            charged_s=43200.0,
            remaining_s=43200.0,
            projected_step=24_000,
        ),
        model="24 layers x 1024, 335M parameters",
        start=StartRecord(
            t=NOW,
            attempt=1,
            step=0,
            sequences=0,
            charged_s=0.0,
            world_size=2,
            device="cuda",
            device_name="NVIDIA H200",
            precision="bf16",
            kernels="compile",
            kernels_reason="the GPU has it",
            num_parameters=335_000_000,
            micro_batch=256,
            accumulation=8,
            sequence_length=128,
            train_sequences=10_000_000,
            validation_sequences=16_384,
        ),
        step=StepRecord(
            t=NOW,
            step=12_034,
            sequences=49_000_000,
            charged_s=43200.0,
            progress=0.5,
            loss=1.873,
            lr=1e-3,
            grad_norm=0.9,
            sequences_per_s=2214.0,
            tokens_per_s=283_392.0,
        ),
        validation=ValidationRecord(
            t=NOW,
            step=12_000,
            sequences=48_900_000,
            charged_s=43100.0,
            progress=0.498,
            loss=1.912,
            num_tokens=311_296,
            unigram_loss=7.01,
            unigram_entropy=7.01,
            seconds=12.0,
        ),
        best_validation=1.910,
        checkpoint=CheckpointRecord(
            t=NOW - 60,
            step=12_000,
            charged_s=43100.0,
            name="step-000012000",
            size_bytes=4_000_000_000,
            seconds=9.0,
            stall_s=0.1,
            why="interval",
            write_s=8.5,
            stall_share=0.00031,
            skipped=2,
        ),
        kept=[
            KeptCheckpoint(
                name="step-000012000",
                step=12_000,
                progress=0.498,
                size_bytes=4_000_000_000,
                validation_loss=1.912,
                markers=[],
                reasons=["newest", "best validation loss 1.9120 of step 12000"],
            )
        ],
        restarts=1,
        steps_lost=30,
    )


def score() -> ScoreView:
    record = ScoreRecord(
        t=NOW,
        task="cola",
        metric="matthews",
        score=0.5613,
        majority_score=0.0,
        metrics={"matthews": 0.5613},
        majority_metrics={"matthews": 0.0},
        num_train=8551,
        num_dev=1043,
        seed=42,
        lr=5e-5,
        batch_size=32,
        epochs=3,
        source="7-demo/step-000012000",
        seconds=40.0,
        precision="fp16",
    )
    return ScoreView(job_id=8, run_id="7-demo", score=record)


def grid_estimate() -> GridEstimateView:
    """Half of its tasks are measured."""
    return GridEstimateView(
        num_trials=4,
        num_trials_by_task={"cola": 2, "rte": 2},
        device_kind="gpu",
        num_devices=8,
        num_workers=16,
        wall_s=3660.0,
        device_hours=8.133,
        unmeasured=["rte"],
    )


def lend_estimate() -> LendEstimateView:
    """Of a run that is paused for it."""
    return LendEstimateView(
        run_job_id=7,
        run_id="7-demo",
        lend=None,
        is_hot=False,
        num_devices=2,
        save_s=9.0,
        start_s=31.5,
        charged_s=40.5,
        remaining_s=43200.0,
        wall_s=300.0,
    )


def device(id: str = "GPU-8a0d71b2-ffff-0000-1111-222233334444", *, drained_by: str | None = None) -> DeviceView:
    return DeviceView(
        id=id,
        kind="gpu",
        name="NVIDIA H200",
        utilization=0.98,
        memory_used_bytes=61 * 1024**3,
        memory_total_bytes=140 * 1024**3,
        temperature_c=61.0,
        power_w=540.0,
        job_id=7,
        drained_by=drained_by,
        gpu=GpuReading(
            utilization=0.98,
            memory_used_bytes=61 * 1024**3,
            memory_total_bytes=140 * 1024**3,
            temperature_c=61.0,
            power_w=540.0,
            power_limit_w=700.0,
            sm_mhz=1755.0,
            memory_mhz=3201.0,
            ecc_corrected=3,
            ecc_uncorrected=0,
            pcie_replays=1,
            nvlink_errors=0,
            energy_j=7.2e7,
        ),
    )


def machine() -> MachineView:
    return MachineView(
        num_cores=64,
        load_1m=11.5,
        memory_used_bytes=90 * 1024**3,
        memory_total_bytes=1024 * 1024**3,
        swap_used_bytes=0,
        disk_free_bytes=800 * 10**9,
        disk_total_bytes=4000 * 10**9,
        disk_read_bytes_per_s=1e6,
        disk_write_bytes_per_s=2e7,
        network_received_bytes_per_s=3e5,
        network_sent_bytes_per_s=4e5,
        cpu_power_w=310.0,
    )


def event(id: int, *, job_id: int | None = 7, text: str = "checkpoint at step 12,000") -> EventView:
    return EventView(id=id, t=NOW, type="checkpoint", job_id=job_id, run_id="7-demo", text=text, data={"step": 12_000})


def status(*, state: JobState = JobState.RUNNING) -> StatusView:
    return StatusView(
        version=VersionView(bertd="0.1.0", api=1, pid=4123, state_dir="/state", started_t=NOW - 8000),
        runs=[run(state=state)],
        jobs=[
            job(state=state),
            job(8, state=JobState.QUEUED, kind=JobKind.FINETUNE, reason="waits for a device: job 7 holds the only one"),
        ],
        devices=[device()],
        machine=machine(),
        events=[event(1), event(2, text="validation 1.912")],
    )


def audit() -> list[AuditView]:
    return [
        AuditView(
            id=12,
            t=NOW,
            user="eve",
            uid=1007,
            pid=4,
            request="POST /v1/jobs/7/stop",
            key="k",
            status=403,
            outcome="uid 1007: may read but not change",
        ),
        AuditView(
            id=11, t=NOW - 60, user="ada", uid=7, pid=3, request="POST /v1/jobs", key=None, status=201, outcome="done"
        ),
    ]


def hooks() -> list[HookView]:
    delivered = HookOutcomeView(
        t=NOW, event="failed", event_id=31, is_delivered=True, detail="exit status 0 after 0.1 s", num_attempts=2
    )
    return [
        HookView(
            name="mail",
            kind="command",
            target="/usr/local/bin/notify",
            events=["failed", "done"],
            is_signed=False,
            num_waiting=0,
            newest=delivered,
            newest_test=delivered.model_copy(update={"event": "test", "event_id": 40, "num_attempts": 1}),
        )
    ]


def garbage() -> list[GarbageView]:
    return [
        GarbageView(job_id=3, run_id="3-first", what="checkpoint", folder=f"/runs/3-first/{step}", size_bytes=4 * 10**9)
        for step in (100, 200)
    ] + [GarbageView(job_id=4, run_id="3-first", what="state after an epoch", folder="/epoch", size_bytes=10**9)]


def configuration() -> list[ConfigurationKeyView]:
    return [
        ConfigurationKeyView(key="daemon.keep_running_on_stop", value=False, origin="default", read=False),
        ConfigurationKeyView(key="devices.finetunings_per_gpu", value=None, origin="/etc/bertd/bertd.toml", read=2),
    ]


def sweep() -> SweepView:
    """Three settings, of which one was dropped at a rung below a second, and one waits."""
    states = [SettingState.DROPPED, SettingState.FINISHED, SettingState.WAITING]
    losses, reasons = [[6.0], [5.0, 4.0], []], ["2 of 2 at 0.5s; the best 1 continue", "", ""]
    settings = [
        SettingView(
            number=number,
            values={"optimizer.peak_lr": f"{number}e-3"},
            state=states[number - 1],
            reason=reasons[number - 1],
            rank={1: 2, 2: 1}.get(number),
            losses=losses[number - 1],
            charged_s=120.0 * bool(losses[number - 1]),
            job_id=10 + number if losses[number - 1] else None,
            run_id=None,
            job_state=None,
        )
        for number in (1, 2, 3)
    ]
    return SweepView(
        id=3,
        name="rates",
        state=SweepState.RUNNING,
        reason="",
        folder="/state/sweeps/3-rates",
        recipe_name="demo.toml",
        rungs=[SweepRung(at_s=0.5, keep=0.5)],
        end_s=120.0,
        num_settings=3,
        num_by_state=dict.fromkeys(states, 1),
        charged_s=240.0,
        max_charged_s=300.0,
        winner=None,
        winner_recipe=None,
        created_t=NOW,
        ended_t=None,
        settings=settings,
    )

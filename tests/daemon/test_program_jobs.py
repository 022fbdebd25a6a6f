"""Jobs that are a program of bertd, over the socket of a real daemon: data sets, evaluations, exports."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from bertd.api.models import SubmitEvaluate, SubmitExport, SubmitPrepare, SubmitPretrain
from bertd.errors import (
    CheckpointError,
    DeviceError,
    OutputExistsError,
    ShardError,
    SubmissionError,
    TransitionError,
    UnknownJobError,
)
from bertd.records import JobKind, JobState, RunnerIdentity
from bertd.run.dataset_manifest import read_manifest
from bertd.run.paths import JobPaths
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.runner_box import recipe_text

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "model", "reads", "a", "budget", "of", "step", "."]


def write_sources(folder: Path, *, documents: int = 400) -> None:
    """A corpus and a vocabulary with which a data set is prepared in a second."""
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    lines = [json.dumps({"text": "The model reads a budget of step. " * 8 + str(n)}) for n in range(documents)]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")


def prepare(box: DaemonBox, out: str = "made", **changes: object) -> SubmitPrepare:
    order = SubmitPrepare(
        arguments=["--vocab=vocab.txt", "--validation=0.2", "--", "corpus.jsonl"],
        out=str(box.folder / out),
        cwd=str(box.folder),
        cpus=1,
    )
    return order.model_copy(update=changes)


def pretraining(box: DaemonBox, out: str, after: int) -> SubmitPretrain:
    text = recipe_text(steps=3, shards=str(box.folder / out), count=1)
    return SubmitPretrain(recipe_toml=text, recipe_name="waits.toml", after=[str(after)])


def test_a_pretraining_waits_for_its_data_set_over_a_kill_of_the_daemon(box: DaemonBox) -> None:
    write_sources(box.folder)
    data = box.client.submit(prepare(box))
    assert (data.kind, data.name, data.num_devices) == (JobKind.PREPARE, "made", 1)
    run = box.client.submit(pretraining(box, "made", data.id))
    assert run.reason == "submitted; waits for its turn"
    running = box.wait_for_state(data.id, JobState.RUNNING)
    assert (running.reason, running.devices) == ("prepares", ["cpu"])
    assert running.argv[:3] == ["bertd", "data", "prepare"] and running.argv[-1] == "corpus.jsonl"
    with pytest.raises(TransitionError, match="cannot pause a prepare"):
        box.client.pause(data.id)
    box.kill()
    box.start()
    ended = box.wait_for_state(data.id, JobState.DONE)
    assert (ended.exit_status, ended.progress, ended.devices) == (0, 1.0, [])
    assert "tokens to train on" in ended.reason
    assert read_manifest(box.folder / "made").vocab_size == len(WORDS)
    box.wait_for_state(run.id, JobState.DONE)


def test_a_pretraining_whose_data_set_was_made_too_small_is_held_and_says_why(box: DaemonBox) -> None:
    write_sources(box.folder, documents=2)
    data = box.client.submit(prepare(box, hold=True, arguments=["--vocab=vocab.txt", "corpus.jsonl"]))
    run = box.client.submit(pretraining(box, "made", data.id))
    box.client.release(data.id)
    box.wait_for_state(data.id, JobState.DONE)
    held = box.wait_for_state(run.id, JobState.HELD)
    assert held.reason.startswith(f"held, since its data cannot be used: {box.folder / 'made'}: ")
    assert f"`bertd release {run.id}` looks again" in held.reason
    box.client.release(run.id)
    box.wait_for_state(run.id, JobState.HELD)
    write_sources(box.folder)
    again = box.client.submit(
        prepare(box, arguments=["--vocab=vocab.txt", "--validation=0.2", "--replace", "corpus.jsonl"])
    )
    box.wait_for_state(again.id, JobState.DONE)
    box.client.release(run.id)
    box.wait_for_state(run.id, JobState.DONE)


def test_a_pretraining_of_a_data_set_that_could_not_be_made_is_held(box: DaemonBox) -> None:
    write_sources(box.folder)
    data = box.client.submit(prepare(box, arguments=["--vocab=vocab.txt", "--", "gone.jsonl"], hold=True))
    run = box.client.submit(pretraining(box, "made", data.id))
    box.client.release(data.id)
    failed = box.wait_for_state(data.id, JobState.FAILED)
    assert failed.exit_status not in (0, None) and "last log lines in logs/job.log" in failed.reason
    assert "gone.jsonl" in JobPaths(Path(failed.folder)).log.read_text()
    assert box.wait_for_state(run.id, JobState.HELD).reason.startswith(f"held, since job {data.id} (made) failed")


def test_a_data_set_is_made_again_by_itself_when_its_runner_is_killed(box: DaemonBox) -> None:
    write_sources(box.folder)
    data = box.client.submit(prepare(box))
    box.wait_for_state(data.id, JobState.RUNNING)
    runner = RunnerIdentity.model_validate_json(JobPaths(Path(data.folder)).runner.read_bytes())
    os.kill(runner.pid, signal.SIGKILL)
    ended = box.wait_for_state(data.id, JobState.DONE)
    assert read_manifest(box.folder / "made").vocab_size == len(WORDS), ended


def test_a_stop_ends_it_and_frees_its_core(box: DaemonBox) -> None:
    write_sources(box.folder)
    data = box.client.submit(prepare(box))
    box.wait_for_state(data.id, JobState.RUNNING)
    box.client.stop(data.id)
    assert box.wait_for_state(data.id, JobState.CANCELLED).devices == []
    assert not (box.folder / "made").exists()


def test_an_evaluation_and_an_export_fail_with_the_status_of_their_program(box: DaemonBox) -> None:
    """The ranks of these tests write no checkpoint that a model can be read from."""
    run = box.submit(steps=3)
    box.wait_for_state(run.id, JobState.DONE)
    for order in (
        SubmitEvaluate(run=f"{run.id}@99", after=[str(run.id)], cpus=1),
        SubmitExport(run=f"{run.id}@99", out=str(box.folder / "export"), after=[str(run.id)]),
    ):
        job = box.client.submit(order)
        assert (job.kind, job.run_id, job.num_devices) == (JobKind(order.kind), run.run_id, 1)
        failed = box.wait_for_state(job.id, JobState.FAILED)
        assert failed.exit_status == CheckpointError.exit_code
        assert "has no checkpoint of step 99" in JobPaths(Path(failed.folder)).log.read_text()


def test_what_cannot_work_is_refused_before_it_is_a_job(shared: DaemonBox) -> None:
    box = shared
    write_sources(box.folder)
    run, before = box.client.submit(box.pretraining(hold=True)), len(box.client.jobs())
    (box.folder / "file").touch()
    unmade = SubmitPretrain(
        recipe_toml=recipe_text(steps=3, shards=str(box.folder / "never"), count=1),
        recipe_name="x.toml",
        after=[str(run.id)],
    )
    for order, error, words in (
        (prepare(box, out="file"), OutputExistsError, "exists and is not a data set"),
        (prepare(box, out="shards"), OutputExistsError, "or --replace to make it again"),
        (prepare(box).model_copy(update={"out": "made"}), SubmissionError, "--out 'made': not an absolute path"),
        (prepare(box, cwd="/nowhere"), SubmissionError, "/nowhere: no such folder"),
        (prepare(box, arguments=["--ou=/etc", "--", "x"]), SubmissionError, "give it as `out` or `cpus`"),
        (prepare(box, arguments=["a\0b"]), SubmissionError, "NUL"),
        (prepare(box, cpus=5_000), DeviceError, "--cpus 5000: this machine has"),
        (prepare(box, only="20:00-08:00"), SubmissionError, "a program cannot be paused"),
        (SubmitEvaluate(run=str(run.id)), CheckpointError, "has no checkpoint yet"),
        (SubmitEvaluate(run="/nowhere", shards=str(box.shards)), CheckpointError, "not an export"),
        (SubmitEvaluate(run="/nowhere"), SubmissionError, "give --shards"),
        (SubmitEvaluate(run=str(run.id), shards="/nowhere"), ShardError, "/nowhere: no prepared data set"),
        (SubmitEvaluate(run=str(run.id), shards="here"), SubmissionError, "not an absolute path"),
        (SubmitEvaluate(run=str(run.id), sequence_length=64), SubmissionError, "whose recipe has the length"),
        (SubmitExport(run="nothing"), UnknownJobError, "no such run"),
        (SubmitExport(run=f"{run.id}@7"), CheckpointError, "no checkpoint of step 7"),
        (SubmitExport(run=f"{run.id}@0.5"), CheckpointError, "marker"),
        (SubmitExport(run=str(run.id), out="here"), CheckpointError, "has no checkpoint yet"),
        (unmade, ShardError, "never: no prepared data set"),
    ):
        with pytest.raises(error, match=words):
            box.client.submit(order)
    assert len(box.client.jobs()) == before

"""A disk that does not answer: who names it is refused after a while, and everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bertd.api.models import (
    GarbageRequest,
    SubmitCommand,
    SubmitFinetune,
    SubmitGrid,
    SubmitPrepare,
    SubmitPretrain,
)
from bertd.daemon.admission import answering_disks, paths_of_requests
from bertd.daemon.garbage import collect
from bertd.daemon.scheduling.conditions.start_check import ASK_AGAIN_S
from bertd.daemon.scheduling.runners import Runners
from bertd.jobs.store.lifecycle import Actor
from bertd.records import JobState
from tests.daemon.api.in_process_api import InProcessApi
from tests.jobs.runner_box import recipe_text
from tests.run.data_sets import write_manifest
from tests.waiting import wait_for

MOUNT = "/net/gone"


def hang(monkeypatch: pytest.MonkeyPatch, folder: str, *, until: threading.Event) -> list[str]:
    """Whatever the daemon asks of a folder hangs, as a system call of a dead NFS does; the paths that it asks for."""
    asked = list[str]()

    def hanging(call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(folder):
                asked.append(os.fspath(path))
                is_loop = threading.current_thread() is threading.main_thread()
                assert until.is_set() or not is_loop, "the event loop hangs"
                until.wait()
            return call(path, *arguments, **options)

        return instead

    for name in ("stat", "scandir", "access", "open"):
        monkeypatch.setattr(os, name, hanging(getattr(os, name)))
    return asked


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """MOUNT hangs; the paths that were asked for."""
    over = threading.Event()
    monkeypatch.setattr(paths_of_requests, "LOOK_TIMEOUT_S", 0.05)
    yield hang(monkeypatch, MOUNT, until=over)
    over.set()


def move(api: InProcessApi, job: int, *states: JobState) -> None:
    for state in states:
        api.queue.move(job, state, reason="", actor=Actor.SCHEDULER, now=1.0)


def test_a_pretraining_whose_prepared_data_does_not_answer_waits_and_holds_up_nobody(
    api: InProcessApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(answering_disks, "WAIT_S", 0.05)
    clock, over, made = [1_000.0], threading.Event(), tmp_path / "made"
    monkeypatch.setattr(api.services.scheduler, "_clock", lambda: clock[0])
    started = list[int]()
    monkeypatch.setattr(Runners, "start", lambda _self, id, **_: started.append(id))
    prepare = SubmitPrepare(arguments=["--vocab=v", "x"], out=str(made), cwd=str(tmp_path), cpus=1, hold=True)
    data = api.ask("POST", "/v1/jobs", prepare.model_dump(mode="json")).json["id"]
    recipe = recipe_text(steps=20, shards=str(made))
    order = SubmitPretrain(recipe_toml=recipe, recipe_name="r.toml", after=[str(data)])
    run = api.ask("POST", "/v1/jobs", order.model_dump(mode="json")).json["id"]
    made.mkdir()
    write_manifest(made)
    api.queue.move(data, JobState.QUEUED, reason="", actor=Actor.PERSON, now=1.0)
    move(api, data, JobState.STARTING)
    api.queue.move(data, JobState.RUNNING, reason="", actor=Actor.RUNNER, now=1.0)
    api.queue.move(data, JobState.DONE, reason="", actor=Actor.RUNNER, now=1.0)
    asked = hang(monkeypatch, str(made), until=over)
    api.services.scheduler._start_waiting_jobs()
    waits = api.queue.get(run)
    assert (waits.state, waits.reason) == (
        JobState.QUEUED,
        f"waits: {made}: the disk does not answer; see whether it hangs with `ls`",
    )
    other = api.submit(hold=False)
    api.services.scheduler._start_waiting_jobs()
    assert (started, len(asked)) == ([other], 1)
    api.queue.release(other)
    over.set()
    wait_for(lambda: not any(each.name == "asks a disk" for each in threading.enumerate()), what="the answer")
    clock[0] += ASK_AGAIN_S + 1
    api.services.scheduler._start_waiting_jobs()
    assert started == [other, run]


def submissions() -> list[tuple[str, Any]]:
    """Of each kind one whose path hangs."""
    recipe = recipe_text(steps=20, shards=f"{MOUNT}/shards")
    return [
        ("/v1/jobs", SubmitPretrain(recipe_toml=recipe, recipe_name="r.toml")),
        ("/v1/jobs", SubmitCommand(argv=["true"], cwd=f"{MOUNT}/here")),
        ("/v1/jobs", SubmitCommand(argv=["tool"], cwd="/", environment={"PATH": f"{MOUNT}/bin:/bin"})),
        ("/v1/jobs", SubmitFinetune(run=f"{MOUNT}/export", task="cola", data_dir="/")),
        ("/v1/jobs", SubmitFinetune(run="@", task="cola", data_dir=f"{MOUNT}/glue")),
        ("/v1/jobs", SubmitGrid(run="@", tasks=["cola"], data_dir=f"{MOUNT}/glue")),
        ("/v1/grids/estimate", SubmitGrid(run="@", tasks=["cola"], data_dir=f"{MOUNT}/glue")),
    ]


@pytest.mark.parametrize("number", range(7))
def test_no_path_of_a_submission_is_looked_at_by_the_event_loop(
    api: InProcessApi, hung: list[str], number: int
) -> None:
    target, order = submissions()[number]
    refused = api.ask("POST", target, order.model_dump(mode="json"))
    assert hung, "the disk was asked"
    assert refused.status == 422 and MOUNT in refused.json["detail"] or "argv" in order.model_fields_set
    assert "does not answer within 0.05 s" in refused.json["detail"]
    assert api.queue.ended() == [] and api.ask("GET", "/v1/jobs").json == []
    if target == "/v1/jobs":
        assert api.ask("GET", "/v1/audit").json[0]["outcome"].startswith("the disk does not answer")


def test_a_viewer_cannot_make_the_daemon_ask_the_disk(api: InProcessApi, hung: list[str]) -> None:
    api.uid = 54321
    for target, order in submissions():
        assert api.ask("POST", target, order.model_dump(mode="json")).status == 403
    assert hung == []


def test_others_submit_while_disks_hang_until_too_many_do(
    api: InProcessApi, hung: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SubmitCommand(argv=["true"], cwd=f"{MOUNT}/here").model_dump(mode="json")
    for _ in range(paths_of_requests.MAX_LOOKS - 1):
        assert api.ask("POST", "/v1/jobs", order).status == 422
    api.submit()
    assert api.ask("POST", "/v1/jobs", order).status == 422
    full = api.ask("POST", "/v1/jobs", order)
    assert (full.status, full.json["code"]) == (503, "StillReadingError")
    assert len(hung) == paths_of_requests.MAX_LOOKS


def test_what_was_submitted_before_is_answered_again_while_its_disk_hangs(
    api: InProcessApi, hung: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = SubmitCommand(argv=["true"], cwd="/", environment={"PATH": "/bin"}, hold=True).model_dump(mode="json")
    first = api.ask("POST", "/v1/jobs", order, headers={"Idempotency-Key": "k"})
    assert first.status == 201
    monkeypatch.setattr(paths_of_requests, "require_command", lambda _: threading.Event().wait())
    again = api.ask("POST", "/v1/jobs", order, headers={"Idempotency-Key": "k"})
    assert (again.status, again.json["id"]) == (201, first.json["id"])


def test_searches_for_what_ended_jobs_leave_are_few_at_once_and_refusals_are_audited(
    api: InProcessApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, begun = threading.Event(), threading.Semaphore(0)

    def walk(jobs: object, *, all_checkpoints: bool) -> list[object]:
        begun.release()
        may_end.wait()
        return []

    monkeypatch.setattr(collect, "garbage_of", walk)
    body = GarbageRequest(jobs=[], older_than_s=0, all_checkpoints=False).model_dump(mode="json")

    async def flood() -> tuple[list[int], int]:
        asked = [asyncio.create_task(api._ask("GET", "/v1/garbage", None, {})) for _ in range(collect.MAX_WALKS)]
        while api.services.request_handler.garbage._walks.num_running < collect.MAX_WALKS:
            await asyncio.sleep(0)
        refused = [await api._ask("GET", "/v1/garbage", None, {}), await api._ask("POST", "/v1/garbage", body, {})]
        status = await api._ask("GET", "/v1/status", None, {})
        may_end.set()
        assert {(await answer).status for answer in asked} == {200}
        return [answer.status for answer in refused], status.status

    assert asyncio.run(flood()) == ([503, 503], 200)
    (row,) = api.ask("GET", "/v1/audit").json
    assert (row["request"], row["status"]) == ("POST /v1/garbage", 503)


def test_a_viewer_makes_no_search_by_asking_to_delete(api: InProcessApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def walk(jobs: object, *, all_checkpoints: bool) -> list[object]:
        raise AssertionError("it was looked for")

    monkeypatch.setattr(collect, "garbage_of", walk)
    body = GarbageRequest(jobs=[], older_than_s=0, all_checkpoints=False).model_dump(mode="json")
    api.uid = 54321
    assert api.ask("POST", "/v1/garbage", body).status == 403
    api.uid = os.getuid()
    unknown = api.ask("POST", "/v1/garbage", body | {"jobs": ["99"]})
    assert unknown.status == 404
    assert [row["status"] for row in api.ask("GET", "/v1/audit").json] == [404, 403]


def test_few_journals_are_read_at_once_for_their_curves(api: InProcessApi, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertd.daemon.metrics import run_metrics

    monkeypatch.setattr(run_metrics, "_CURVES_TIMEOUT_S", 0.01)
    jobs = [api.submit() for _ in range(run_metrics.MAX_READING + 2)]
    may_end = asyncio.Event()
    reading = api.services.run_metrics

    async def read(job: object, follower: Any) -> Any:
        await may_end.wait()
        return follower

    monkeypatch.setattr(reading, "_read_to_the_end", read)

    async def ask_all() -> list[tuple[int, str]]:
        answers = await asyncio.gather(*(api._ask("GET", f"/v1/runs/{job}/series", None, {}) for job in jobs))
        assert len(reading._reading) == run_metrics.MAX_READING
        may_end.set()
        later = await api._ask("GET", f"/v1/runs/{jobs[-1]}/series", None, {})
        return [(answer.status, answer.json.get("detail", "")) for answer in [*answers, later]]

    *answers, later = asyncio.run(ask_all())
    assert {status for status, _ in answers} == {503}
    others = [detail for _, detail in answers if f"of {run_metrics.MAX_READING} other runs are being read" in detail]
    assert len(others) == 2
    assert later[0] == 200


def test_what_was_refused_does_not_push_out_of_the_audit_what_was_done(
    api: InProcessApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertd.jobs.store import audit

    monkeypatch.setattr(audit, "MAX_REFUSED_ROWS", 50)
    monkeypatch.setattr(audit, "MAX_AUDIT_ROWS", 5)
    done = [api.submit() for _ in range(3)]
    api.uid = 54321
    for _ in range(300):
        assert api.ask("POST", f"/v1/jobs/{done[0]}/stop").status == 403
    api.uid = os.getuid()
    rows = api.ask("GET", "/v1/audit").json
    assert sum(row["status"] == 201 for row in rows) == 3
    assert 50 <= sum(row["status"] == 403 for row in rows) < 150


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/jobs", {"kind": "nope"}),
        ("/v1/jobs/1/priority", {"priority": "high"}),
        ("/v1/sweeps", {}),
        ("/v1/jobs", 7),
    ],
)
def test_a_change_that_cannot_even_be_read_is_audited(api: InProcessApi, target: str, body: object) -> None:
    assert api.ask("POST", target, body).status == 422
    (row,) = api.ask("GET", "/v1/audit").json
    assert (row["request"], row["status"], row["uid"]) == (f"POST {target}", 422, api.uid)

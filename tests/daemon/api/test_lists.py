"""Lists of jobs, events and curves: pages that inserts do not move, and filters."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertd.daemon.api.event_stream import MAX_STREAMS_PER_UID
from bertd.jobs.store.lifecycle import Actor
from bertd.records import JobKind, JobState
from bertd.run.journal import append_records
from bertd.run.paths import JobPaths
from tests.daemon.api.in_process_api import InProcessApi
from tests.metrics.test_curves import start, step


def walk(api: InProcessApi, target: str, *, between: Callable[[], object] = lambda: None) -> list[Any]:
    """All rows of a list, by the Link of each page; `between` is called after each."""
    rows: list[Any] = []
    next_target: str | None = target
    while next_target is not None:
        answer = api.ask("GET", next_target)
        assert answer.status == 200, answer.content
        rows += answer.json
        link = re.fullmatch('<(.+)>; rel="next"', answer.headers.get("link", ""))
        next_target = None if link is None else link[1]
        between()
    return rows


def test_a_walk_over_pages_has_each_job_once_while_jobs_are_added(api: InProcessApi) -> None:
    first = [api.submit() for _ in range(7)]
    rows = walk(api, "/v1/jobs?limit=2&state=held&since=0", between=api.submit)
    assert [row["id"] for row in rows] == first[::-1]


def test_without_filters_and_cursor_the_list_is_the_one_it_always_was(api: InProcessApi) -> None:
    held, queued = api.submit(), api.submit(hold=False)
    cancelled = api.submit()
    api.queue.move(cancelled, JobState.CANCELLED, reason="x", actor=Actor.PERSON, now=2.0)
    answer = api.ask("GET", "/v1/jobs")
    assert [row["id"] for row in answer.json] == [queued, held, cancelled]
    assert "link" not in answer.headers
    assert [row["id"] for row in api.ask("GET", f"/v1/jobs?before={cancelled}").json] == [queued, held]
    assert [row["id"] for row in api.ask("GET", f"/v1/runs?after={queued}").json] == [f"{held}-fake"]


def test_jobs_are_filtered_by_state_kind_user_and_time(api: InProcessApi) -> None:
    held, queued = api.submit(), api.submit(hold=False)
    api.database.execute("UPDATE jobs SET owner_uid = 54321, created_t = 1000.5 WHERE id = ?", (held,))

    def ids(query: str) -> list[int]:
        return [row["id"] for row in api.ask("GET", f"/v1/jobs?{query}").json]

    assert ids("state=held") == ids("user=54321") == ids("until=1001") == ids("since=1000.5&until=1000.6") == [held]
    assert ids("state=queued&kind=pretrain") == ids(f"user={os.getuid()}") == ids("since=1001") == [queued]
    assert ids("state=queued&state=held") == ids("kind=pretrain&limit=9") == [queued, held]
    assert ids("kind=grid") == ids("state=held&until=1000.5") == ids("state=held&state=done&user=1") == []


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("state=busy", "state"),
        ("kind=x", "kind"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=0", "after"),
        ("since=nan", "since"),
        ("until=soon", "until"),
        ("user=nobody-of-this-name", "user"),
        ("user=%00", "user"),
        (f"user={'x' * 101}", "user"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_by_its_name(api: InProcessApi, query: str, place: str) -> None:
    for path in ("/v1/jobs", "/v1/event-log"):
        if path == "/v1/jobs" or place != "state":
            answer = api.ask("GET", f"{path}?{query}")
            assert answer.status == 422, answer.content
            assert place in answer.json["detail"]


def test_past_events_are_listed_newest_first_and_filtered(api: InProcessApi) -> None:
    job = api.submit()
    with api.database.transaction():
        for number in range(5):
            api.events.append("alert", f"a{number}", now=100.0 + number, job_id=job, run_id=None, data={})
        api.events.append("daemon", "d", now=200.0, job_id=None, run_id=None, data={})

    def texts(query: str) -> list[str]:
        return [row["text"] for row in walk(api, f"/v1/event-log?{query}")]

    assert texts("type=alert&limit=2") == ["a4", "a3", "a2", "a1", "a0"]
    assert texts("type=alert&type=daemon&since=103&until=200.5") == ["d", "a4", "a3"]
    assert texts(f"job={job}&type=alert&until=101") == ["a0"]
    assert texts("user=54321") == texts("kind=grid&type=alert") == []
    assert len(texts(f"kind={JobKind.PRETRAIN}&user={os.getuid()}&type=alert")) == 5
    assert len(texts("")) == len(texts("limit=1")) > 6
    run_id = api.queue.get(job).run_id
    ours = texts(f"run={run_id}")
    assert ours == texts(f"run={job}") == texts("run=@") != texts("")
    assert texts(f"run={run_id}&type=alert") == [], "those were of no run"
    assert api.ask("GET", "/v1/event-log?run=nope").status == 404


def test_curves_of_several_runs_are_given_on_one_axis(api: InProcessApi) -> None:
    runs = [f"{api.submit()}-fake" for _ in range(2)]
    for number, run in enumerate(runs):
        journal = Path(api.queue.get_by_run(run).folder) / "journal.jsonl"
        steps = [step(each, charged_s=float(each), loss=float(each + number)) for each in range(1, 4)]
        append_records(journal, [start(0, charged_s=0.0, attempt=1), *steps])
    query = "x=tokens&columns=loss&from=9&smooth=8"
    answer = api.ask("GET", f"/v1/series?run={runs[1]}&run={runs[0]}&{query}").json
    assert [each["run_id"] for each in answer] == runs[::-1]
    assert [each["columns"]["loss"] for each in answer] == [[[16, 3], [24, 4]], [[16, 2], [24, 3]]]
    assert answer[0]["smoothed"]["loss"] == [[16, (0.5 * 2 + 3) / 1.5], [24, (0.25 * 2 + 0.5 * 3 + 4) / 1.75]]
    assert api.ask("GET", f"/v1/runs/{runs[0]}/series?{query}").json == answer[1]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("run=@&columns=x", 422),
        ("run=@&from=2&to=1", 422),
        ("run=@&from=nan", 422),
        ("run=@&smooth=0", 422),
        ("run=@&x=epochs", 422),
        ("&".join(["run=@"] * 17), 422),
        ("run=9-x", 404),
    ],
)
def test_curves_that_cannot_be_given_are_refused(api: InProcessApi, query: str, status: int) -> None:
    api.submit()
    assert api.ask("GET", f"/v1/series?{query}").status == status


def test_a_log_is_read_by_time(api: InProcessApi) -> None:
    id = api.submit()
    paths = JobPaths(Path(api.queue.get(id).folder))

    def text(query: str) -> str:
        return str(api.ask("GET", f"/v1/jobs/{id}/log?{query}").json["text"])

    assert text("since=5") == text("until=5") == ""  # It has not begun.
    paths.logs.mkdir(exist_ok=True)
    paths.log.write_text("0123456789")
    refused = api.ask("GET", f"/v1/jobs/{id}/log?since=5")
    assert refused.status == 409 and "without times" in refused.json["detail"]
    paths.log_times.write_text("100.0 0\n101.0 4\n102.0 7\n103.0 10\n")
    assert text("since=101&until=102") == "456"
    assert text("since=101.5") == "456789"
    assert text("until=102") == text("until=102&offset=0") == "0123456"
    assert text("since=101&until=103&limit=4") == "4567"
    assert text("offset=8&until=103") == "89"
    assert text("since=500") == text("until=99") == ""
    assert text("offset=-3") == "789"
    # What was written after the runner's last note was not written long after the log's last change.
    paths.log.write_text("0123456789abc")
    os.utime(paths.log, (104.0, 104.0))
    assert text("since=104") == "abc" and text("since=500") == ""


def test_one_stream_too_many_is_refused(api: InProcessApi) -> None:
    api.uid = 54321
    api.services.hub.count_stream(api.uid, MAX_STREAMS_PER_UID)
    refused = api.ask("GET", "/v1/events")
    assert (refused.status, refused.json["hint"]) == (429, "close some")


@pytest.mark.parametrize(
    ("query", "status"),
    [("run=nope", 404), ("kind=nope", 422), ("user=no-such-user", 422), ("job=0", 422), ("since=-1", 422)],
)
def test_a_stream_that_cannot_be_given_is_refused_before_it_begins(api: InProcessApi, query: str, status: int) -> None:
    refused = api.ask("GET", f"/v1/events?{query}")
    assert refused.status == status
    assert refused.headers["content-type"] == "application/problem+json"

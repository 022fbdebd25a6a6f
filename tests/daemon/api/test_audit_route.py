"""Audited changes: each is listed, done or not, another user's only for operators; a repeated one is done once."""

from __future__ import annotations

import pytest

from bertd.daemon.api.audited_changes import AuditedChanges
from bertd.errors import ReadOnlyError
from bertd.jobs.store.audit import Audit, Peer
from tests.daemon.api.in_process_api import InProcessApi


def test_who_asked_for_what_and_whether_it_was_done(api: InProcessApi) -> None:
    api.ask("POST", "/v1/devices/cpu/drain")
    operator, api.uid = api.uid, 54321
    assert api.ask("POST", "/v1/devices/cpu/undrain").status == 403
    assert api.ask("GET", "/v1/audit").status == 403
    [own] = api.ask("GET", "/v1/audit?user=54321").json
    assert (own["request"], own["status"], own["user"]) == ("POST /v1/devices/cpu/undrain", 403, "54321")
    assert "may read but not change" in own["outcome"]
    api.uid = operator
    rows = api.ask("GET", "/v1/audit").json
    assert [(row["uid"], row["status"]) for row in rows] == [(54321, 403), (operator, 202)]
    assert rows[1]["outcome"] == "done"
    first = api.ask("GET", "/v1/audit?limit=1")
    following = api.ask("GET", first.headers["link"].partition(">")[0].lstrip("<"))
    assert [row["id"] for row in first.json + following.json] == [row["id"] for row in rows]
    assert api.ask("GET", "/v1/audit?since=99999999999").json == []


def test_a_shutdown_that_is_repeated_does_not_end_the_next_daemon_too(api: InProcessApi) -> None:
    headers = {"Idempotency-Key": "k"}
    first = api.ask("POST", "/v1/shutdown", headers=headers)
    changes = api.services.request_handler.changes
    changes.is_stopping = True
    assert api.ask("POST", "/v1/shutdown", headers=headers).status == 202
    assert api.ask("POST", "/v1/shutdown", headers={"Idempotency-Key": "late"}).status == 503
    changes.is_stopping = False
    second = api.ask("POST", "/v1/shutdown", headers=headers)
    assert (first.status, first.json, api.num_shutdowns) == (202, second.json, 1)
    api.ask("POST", "/v1/shutdown", headers={"Idempotency-Key": "other"})
    assert api.num_shutdowns == 2


def test_a_copy_of_what_could_be_salvaged_is_no_backup(api: InProcessApi) -> None:
    assert api.ask("GET", "/v1/queue-copy").content.startswith(b"SQLite format 3")
    changes = AuditedChanges(api.database, Audit(api.database), read_only="the queue is damaged", wake=lambda: None)
    with pytest.raises(ReadOnlyError, match="copy the state folder itself"):
        changes.queue_copy(Peer(uid=api.uid, gid=api.uid, pid=1))

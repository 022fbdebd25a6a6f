"""GET /v1/audit: each request to change something, done or not; another user's only for operators."""

from __future__ import annotations

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

"""Drive a run by a generated client: `python -m tests.daemon.api.drive_generated_client SOCKET RECIPE.toml`.

The package `generated` was made from the daemon's OpenAPI document by openapi-python-client, with a module per tag.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import httpx  # type: ignore[import-not-found, unused-ignore]  # It comes with the generator.

SOCKET, RECIPE = sys.argv[1:]


def call(tag: str, operation: str, /, **arguments: Any) -> Any:
    """The parsed answer of an operation."""
    transport = httpx.HTTPTransport(uds=SOCKET)
    client = importlib.import_module("generated").Client(base_url="http://bertd", httpx_args={"transport": transport})
    with client:
        return importlib.import_module(f"generated.api.{tag}.{operation}").sync(client=client, **arguments)


def wait_for_state(id: int, state: str) -> None:
    """Poll until the job has the state; the test ends this process if that takes too long."""
    while str(call("jobs", "get_job", id=str(id)).state) != state:
        time.sleep(0.05)


def main() -> None:
    """Submit a run, pause it, resume it, and read all that it has made."""
    models = importlib.import_module("generated.models")
    order = models.SubmitPretrain(recipe_toml=Path(RECIPE).read_text(), recipe_name="fake.toml")
    job = call("jobs", "post_job", body=order, idempotency_key="once")
    assert call("jobs", "post_job", body=order, idempotency_key="once").id == job.id
    wait_for_state(job.id, "running")
    call("jobs", "post_pause", id=str(job.id), body=models.PauseBody(hot=False))
    wait_for_state(job.id, "paused")
    call("jobs", "post_priority", id=str(job.id), body=models.PriorityBody(priority=3))
    Path(RECIPE).with_name("go").touch()
    call("jobs", "post_resume", id=str(job.id))
    wait_for_state(job.id, "done")
    assert call("runs", "get_run", id=job.run_id).budget.progress == 1.0
    curve = call("runs", "get_series", id=job.run_id, x=models.GetSeriesX.TOKENS, columns="loss", smooth=10.0)
    assert curve.columns["loss"] and curve.smoothed["loss"]
    assert [each.id for each in call("jobs", "get_jobs", state=[models.JobState.DONE], limit=5)] == [job.id]
    assert [each.type_ for each in call("event_log", "get_event_log", type_=["end"])] == ["end"]
    assert call("jobs", "get_log", id="@", since=0.0).size >= 0
    assert call("status", "get_status").jobs and call("devices", "get_devices") and call("version", "get_version").api
    assert b"bertd_jobs" in call("metrics", "get_metrics").encode()
    refusal = call("jobs", "get_job", id="999")
    assert (refusal.code, refusal.status) == ("UnknownJobError", 404) and refusal.hint


if __name__ == "__main__":
    main()

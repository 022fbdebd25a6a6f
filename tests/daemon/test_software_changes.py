"""Other software under a queued or a paused run is named before it starts, once; or the run is held for it."""

from __future__ import annotations

from bertd.daemon.scheduling.conditions.software_changes import ALERT_CODE
from bertd.records import AlertRecord, JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan

CHANGE = "the environment has another NCCL_DEBUG"


def alerts(box: DaemonBox, id: int) -> list[str]:
    return [
        record.message for record in box.records(id) if isinstance(record, AlertRecord) and record.code == ALERT_CODE
    ]


def test_a_run_names_what_has_changed_since_it_was_queued_once(cold: DaemonBox) -> None:
    box = cold
    box.start()
    box.plan(Plan(hold_at=3))
    id = box.client.submit(box.pretraining(hold=True)).id
    assert box.client.job(id).software_changes == []
    box.kill()
    box.start(env={"NCCL_DEBUG": "INFO"})
    assert box.client.job(id).software_changes == [CHANGE]
    assert alerts(box, id) == []

    box.client.release(id)
    box.wait_for_step(id, 3)

    assert len(alerts(box, id)) == 1
    assert CHANGE in alerts(box, id)[0]
    box.client.pause(id)
    box.release()
    box.wait_for_state(id, JobState.PAUSED)
    assert box.client.job(id).software_changes == []
    box.client.resume(id)
    box.wait_for_state(id, JobState.DONE)
    assert len(alerts(box, id)) == 1


def test_a_paused_run_is_held_where_the_configuration_says_so(cold: DaemonBox) -> None:
    box, file = cold, cold.folder / "configuration" / "bertd.toml"
    file.parent.mkdir()
    file.write_text('[upgrades]\nqueued_jobs = "hold"\n')
    box.start()
    box.plan(Plan(hold_at=3))
    id = box.submit().id
    box.wait_for_step(id, 3)
    box.client.pause(id)
    box.release()
    box.wait_for_state(id, JobState.PAUSED)
    box.kill()
    box.start(env={"NCCL_DEBUG": "INFO"})

    box.client.resume(id)

    held = box.wait_for_state(id, JobState.HELD)
    assert CHANGE in held.reason
    assert f"bertd release {id}" in held.reason
    box.client.release(id)
    box.wait_for_state(id, JobState.DONE)

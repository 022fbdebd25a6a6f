"""A real daemon over the stand-in's eight cards, one of which falls off the bus under a run."""

from __future__ import annotations

import pytest

from bertd.api.models import SubmitPretrain
from bertd.errors import DeviceError
from bertd.records import AlertRecord, DevicesRecord, JobState
from bertd.run.job_energy import read_job_energy
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import recipe_text
from tests.waiting import wait_for


@pytest.fixture
def gpus(cold: DaemonBox) -> DaemonBox:
    """A daemon with eight cards, of which `lose(3)` takes one."""
    cold.start("--stand-in")
    return cold


def lose(box: DaemonBox, number: int) -> None:
    """Have a card fall off the bus."""
    (box.folder / f"lost-{number}").touch()


def submit(box: DaemonBox, *, count: int) -> int:
    """Submit a pretraining on GPUs whose steps divide among 8, 7 and 4."""
    text = recipe_text(steps=20, shards=str(box.shards), count=count)
    overrides = ["devices.kind=gpu", "batch.sequences=56", "batch.micro=1"]
    return box.client.submit(SubmitPretrain(recipe_toml=text, recipe_name="fake.toml", overrides=overrides)).id


def test_a_run_continues_on_fewer_gpus_when_one_is_lost(gpus: DaemonBox) -> None:
    gpus.plan(Plan(hold_at=3))
    id = submit(gpus, count=8)
    gpus.wait_for_step(id, 3)
    lost = gpus.client.devices()[3].id
    lose(gpus, 3)
    wait_for(lambda: lost not in gpus.client.job(id).devices and bool(gpus.client.job(id).devices), what=gpus.log)
    job = gpus.client.job(id)
    assert len(job.devices) == job.num_devices < 8, job
    gpus.release()
    gpus.wait_for_state(id, JobState.DONE)
    (change,) = [record for record in gpus.records(id) if isinstance(record, DevicesRecord)]
    assert (change.before, change.after) == (8, job.num_devices)
    alerts = [record for record in gpus.records(id) if isinstance(record, AlertRecord)]
    assert [(alert.code, alert.level) for alert in alerts if alert.code == "device_lost"] == [("device_lost", "error")]
    view = next(device for device in gpus.client.devices() if device.id == lost)
    assert (view.health, view.utilization, view.gpu) == ("lost", None, None)
    assert view.drained_by == "the daemon, because it was lost"
    events = [event for event in gpus.events() if event.type == "device"]
    assert [event.data["state"] for event in events if event.data.get("state") == "lost"] == ["lost"]


def test_a_run_keeps_its_number_of_gpus_where_others_are_free(gpus: DaemonBox) -> None:
    gpus.plan(Plan(hold_at=3))
    id = submit(gpus, count=4)
    gpus.wait_for_step(id, 3)
    lose(gpus, 0)
    wait_for(
        lambda: (
            len(gpus.client.job(id).devices) == 4 and gpus.client.devices()[0].id not in gpus.client.job(id).devices
        ),
        what=gpus.log,
    )
    gpus.release()
    gpus.wait_for_state(id, JobState.DONE)


def test_a_card_that_was_lost_gets_no_job_until_a_person_says_so(gpus: DaemonBox) -> None:
    lose(gpus, 0)
    wait_for(lambda: gpus.client.devices()[0].drained_by is not None, what=gpus.log)
    (gpus.folder / "lost-0").unlink()
    wait_for(lambda: gpus.client.devices()[0].health == "ok", what=gpus.log)
    gpus.plan(Plan(hold_at=3))
    id = submit(gpus, count=8)
    wait_for(lambda: "1 drained" in gpus.client.job(id).reason, what=gpus.log)
    gpus.client.undrain("0")
    gpus.wait_for_step(id, 3)
    assert len(gpus.client.job(id).devices) == 8


def test_a_call_that_hangs_blocks_neither_the_daemon_nor_the_other_cards(cold: DaemonBox) -> None:
    cold.start("--stand-in", "--hang-s", "0.5")
    (cold.folder / "hang-2").touch()
    wait_for(lambda: cold.client.devices()[2].health == "not_answering", what=cold.log)
    devices = cold.client.devices()
    assert devices[2].health_text.startswith("not answering since ")
    assert " at " not in devices[2].health_text
    assert [device.health for device in devices if device.id != devices[2].id] == ["ok"] * 7
    cold.plan(Plan(hold_at=3))
    id = submit(cold, count=7)
    cold.wait_for_step(id, 3)
    assert devices[2].id not in cold.client.job(id).devices
    (cold.folder / "hang-2").unlink()
    wait_for(lambda: cold.client.devices()[2].health == "ok", what=cold.log)


def test_a_card_that_is_gone_when_the_daemon_starts_is_left_out(cold: DaemonBox) -> None:
    lose(cold, 1)
    cold.start("--stand-in")
    assert len(cold.client.devices()) == 7
    wait_for(lambda: any(event.type == "device" for event in cold.client.status().events), what=cold.log)
    (event,) = [event for event in cold.client.status().events if event.type == "device"]
    assert event.text == "GPU 1 is left out: GPU is lost; restart the machine or reset the GPU"
    with pytest.raises(DeviceError, match="this machine has 7 .GPU 1 is left out: GPU is lost.; --set devices.count=7"):
        submit(cold, count=8)


def test_the_energy_of_a_run_is_shown_and_in_its_folder(gpus: DaemonBox) -> None:
    gpus.plan(Plan(hold_at=3))
    id = submit(gpus, count=4)
    gpus.wait_for_step(id, 3)

    def is_measured() -> bool:
        return gpus.client.run(id).energy is not None and gpus.client.job(id).energy is not None

    wait_for(is_measured, what=gpus.log)
    gpus.client.pause(id)
    gpus.wait_for_state(id, JobState.PAUSED)
    gpus.release()
    stored = read_job_energy(gpus.run_paths(id))
    energy = gpus.client.job(id).energy
    assert stored is not None and energy is not None
    assert energy.gpu_kwh == stored.gpu_kwh > 0
    assert energy.cost is None

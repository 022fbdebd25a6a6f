"""Quotas of the disk in a real daemon: shown, and enforced on submissions."""

from __future__ import annotations

import signal

import pytest

from bertd.errors import QuotaError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.waiting import wait_for


def test_a_full_disk_quota_refuses_jobs_with_the_reason_until_it_is_raised(cold: DaemonBox) -> None:
    box, file = cold, cold.folder / "configuration" / "bertd.toml"
    file.parent.mkdir()
    box.start()
    run = box.submit()
    box.wait_for_state(run.id, JobState.DONE)
    assert box.client.status().disk_quota is None

    def reload(text: str) -> None:
        file.write_text(text)
        assert box.process is not None
        box.process.send_signal(signal.SIGHUP)

    reload('[quotas]\ndisk_in_all = "1KB"\n')
    wait_for(lambda: box.client.status().disk_quota is not None, what="a measurement")
    disk = box.client.status().disk_quota
    assert disk is not None and disk.quota_bytes == 1000 < disk.used_bytes
    view = box.client.run(run.run_id).disk
    assert view is not None and 0 < view.used_bytes < disk.used_bytes and view.quota_bytes is None
    with pytest.raises(QuotaError, match=r"of the 1000 B that quotas\.disk_in_all allows"):
        box.submit()
    assert any(event.type == "quota" for event in box.events())
    reload('[quotas]\ndisk_in_all = "100GB"\ndisk_per_run = "1KB"\n')
    wait_for(lambda: any(key.key == "quotas.disk_per_run" and key.value for key in box.client.configuration()), what="")
    with pytest.raises(QuotaError, match="run 1-fake takes"):
        box.submit_finetuning("cola", run="1-fake")
    with pytest.raises(QuotaError, match="would keep"):
        box.submit()
    reload("")
    wait_for(lambda: box.client.status().disk_quota is None, what="no quota")
    box.wait_for_state(box.submit().id, JobState.DONE)

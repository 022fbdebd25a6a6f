from __future__ import annotations

import copy
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bertd.daemon.backup.restore_backup import restore_backup
from bertd.daemon.backup.write_backup import write_backup
from bertd.errors import DaemonError, DaemonUnreachableError
from bertd.records import JobState
from bertd.run.ledger import LedgerState, write_ledger
from bertd.run.machine.processes import is_alive, own_identity
from bertd.run.paths import StatePaths
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import with_tests_on_path
from tests.waiting import PATIENCE_S, wait_for

SILENCE_S = 1.5
"""Longer than two of the watchdog's intervals that the test sets."""

HOLDS = Plan(hold_at=7)


def sdk_socket(folder: Path) -> socket.socket:
    """What systemd would listen on."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(folder / "notify.sock"))
    channel.settimeout(PATIENCE_S)
    return channel


# ---- One daemon, one socket --------------------------------------------------------------------------


def test_a_second_daemon_exits_75_and_names_the_first(box: DaemonBox) -> None:
    second = copy.copy(box)
    second.log_path = box.folder / "second.log"
    second.spawn(socket=str(box.folder / "other.sock"))
    assert second.exit_code() == 75
    assert box.process is not None
    assert f"another daemon has this state folder: pid {box.process.pid} since 2" in second.log
    assert not (box.folder / "other.sock").exists()
    assert box.answers()


def test_the_lock_goes_with_its_holder(box: DaemonBox) -> None:
    box.kill()
    box.start()
    assert box.answers()


def test_the_socket_has_mode_0660_whatever_the_umask(cold: DaemonBox) -> None:
    before = os.umask(0)
    try:
        cold.start()
    finally:
        os.umask(before)
    assert stat.S_IMODE(cold.socket.lstat().st_mode) == 0o660


def test_the_socket_goes_with_the_daemon(box: DaemonBox) -> None:
    assert box.stop() == 0
    assert not box.socket.exists()


def test_a_stale_socket_is_replaced(box: DaemonBox) -> None:
    box.kill()
    assert box.socket.is_socket()
    with pytest.raises(DaemonUnreachableError):
        box.client.version()
    box.start()


def test_a_socket_that_is_removed_is_made_again_and_connections_go_on(box: DaemonBox) -> None:
    box.client.version()
    stream = box.client.events(since=0)
    next(stream)
    for _ in range(2):
        box.socket.unlink()
        wait_for(box.answers, what=f"an answer on a new socket; the log:\n{box.log}")
    assert stat.S_IMODE(box.socket.stat().st_mode) == 0o660
    assert "was removed; listening there again" in box.log
    next(stream)
    stream.close()
    assert box.stop() == 0 and not box.socket.exists()


def test_a_file_in_the_sockets_place_is_refused_and_kept(cold: DaemonBox) -> None:
    cold.socket.write_text("a letter")
    cold.spawn()
    assert cold.exit_code() == 78
    assert f"{cold.socket}: exists and is not a socket" in cold.log
    assert cold.socket.read_text() == "a letter"


def test_a_living_socket_is_refused_and_kept(cold: DaemonBox) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(cold.socket))
        other.listen()
        cold.spawn()
        assert cold.exit_code() == 75
    assert f"{cold.socket}: another process is already listening" in cold.log


def test_a_path_too_long_for_a_socket_is_refused_with_its_length(cold: DaemonBox) -> None:
    cold.spawn(socket=str(cold.folder / ("x" * 120)))
    assert cold.exit_code() == 78
    assert "a socket's path has at most 107" in cold.log


def test_a_state_folder_that_cannot_be_made_is_one_line(cold: DaemonBox) -> None:
    cold.state.root.write_text("a file")
    cold.spawn()
    assert cold.exit_code() == 74
    assert "cannot make the state folder" in cold.log
    assert "Traceback" not in cold.log


def test_a_damaged_queue_is_refused_and_left_alone(cold: DaemonBox) -> None:
    cold.state.root.mkdir()
    cold.state.queue.write_bytes(b"not a database" * 100)
    cold.spawn()
    assert cold.exit_code() == 78
    assert "the queue is damaged" in cold.log
    assert cold.state.queue.read_bytes() == b"not a database" * 100


# ---- systemd -------------------------------------------------------------------------------------------


def test_systemd_hears_of_readiness_status_and_the_end(cold: DaemonBox) -> None:
    with sdk_socket(cold.folder) as manager:
        cold.start(env={"NOTIFY_SOCKET": str(cold.folder / "notify.sock")})
        assert manager.recv(4096) == b"READY=1"
        assert manager.recv(4096) == b"STATUS=idle, 0 waiting"
        assert cold.stop() == 0
        assert manager.recv(4096) == b"STOPPING=1\nSTATUS=stopping"


def test_systemd_hears_of_the_watchdog_while_the_loop_turns_and_no_longer(cold: DaemonBox) -> None:
    with sdk_socket(cold.folder) as manager:
        cold.start(env={"NOTIFY_SOCKET": str(cold.folder / "notify.sock"), "WATCHDOG_USEC": "600000"})
        while manager.recv(4096) != b"WATCHDOG=1":
            pass
        while manager.recv(4096) != b"WATCHDOG=1":
            pass
        assert cold.process is not None
        cold.process.send_signal(signal.SIGSTOP)
        # A machine that stalls makes the silence come sooner, not later.
        manager.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            while True:
                manager.recv(4096)


def test_a_socket_that_systemd_passed_is_served(cold: DaemonBox) -> None:
    code = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); os.dup2(s.fileno(), 3)\n"
        "os.set_inheritable(3, True)\n"
        "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1'}\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    command = ["-m", "tests.daemon.fake_daemon", str(cold.state.root), "-", str(cold.plan_path)]
    with cold.log_path.open("ab") as log:
        cold.process = subprocess.Popen(
            [sys.executable, "-c", code, str(cold.socket), *command], stdout=log, stderr=log, env=with_tests_on_path()
        )
    wait_for(cold.answers, what="the daemon on the passed socket")
    assert cold.stop() == 0
    assert cold.socket.is_socket(), "the manager's socket is the manager's to remove"


# ---- Deaths ------------------------------------------------------------------------------------------


def test_a_runner_outlives_a_killed_daemon_and_is_adopted(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    before = box.runner(id)
    box.kill()
    assert is_alive(before)
    box.start()
    assert box.client.job(id).state is JobState.RUNNING
    assert box.client.job(id).devices == ["cpu"]
    box.release()
    box.wait_for_state(id, JobState.DONE)
    assert box.runner(id) == before
    assert box.steps(id) == list(range(1, 21))
    assert box.client.job(id).devices == []


def test_what_happened_while_no_daemon_lived_is_taken_over_once(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    box.kill()
    box.release()
    wait_for(lambda: box.run_paths(id).outcome.exists(), what="the outcome")
    box.start()
    box.wait_for_state(id, JobState.DONE)
    events = box.events()
    assert len([event for event in events if event.type == "end"]) == 1
    told = [event.data["step"] for event in events if event.type == "checkpoint" and event.data["why"] == "interval"]
    assert told == [5, 10, 15, 20]


def test_a_runner_that_vanished_with_the_daemon_puts_its_job_back_in_the_queue(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    box.kill()
    os.kill(box.runner(id).pid, signal.SIGKILL)
    box.release()
    box.start()
    box.wait_for_state(id, JobState.DONE)
    assert any("its runner died" in event.text for event in box.events())
    assert sorted(set(box.steps(id))) == list(range(1, 21))
    assert box.client.run(id).steps_lost <= 5


def test_a_run_that_was_paused_before_a_reboot_goes_on_and_is_charged_no_downtime(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    box.client.pause(id)
    box.wait_for_state(id, JobState.PAUSED)
    charged_s = box.client.run(id).budget.charged_s
    box.kill()
    # The pid of the runner is another process's by now, and the power went before the ledger was closed.
    paths, other = box.run_paths(id), own_identity().model_copy(update={"boot_id": "the boot before"})
    paths.runner.write_text(other.model_dump_json())
    left = LedgerState(open_since_s=-1e6, open_boot="the boot before", ticked_s=charged_s)
    write_ledger(paths.ledger, left)
    box.start()
    assert box.client.job(id).state is JobState.PAUSED
    assert box.client.run(id).budget.charged_s == charged_s
    box.release()
    box.client.resume(id)
    box.wait_for_state(id, JobState.DONE)
    assert box.steps(id) == list(range(1, 21))
    assert charged_s < box.client.run(id).budget.charged_s < charged_s + 1e5


def test_a_killed_runner_puts_its_job_back_in_the_queue(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    killed = box.runner(id)
    os.kill(killed.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(killed), what="its death")
    box.release()
    box.wait_for_state(id, JobState.DONE)
    assert sorted(set(box.steps(id))) == list(range(1, 21))
    assert any("its runner died" in event.text for event in box.events())
    run = box.client.run(id)
    assert run.start is not None and (run.start.attempt, run.start.step) == (2, 5)
    assert run.steps_lost == 2


def test_a_job_whose_runner_vanishes_again_and_again_fails_with_a_reason(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=0))
    id = box.submit().id
    seen: set[int] = set()
    for _ in range(3):
        wait_for(lambda: box.client.job(id).state is JobState.RUNNING, what="it to run")
        wait_for(lambda: box.runner(id).pid not in seen, what="a new runner")
        seen.add(box.runner(id).pid)
        os.kill(box.runner(id).pid, signal.SIGKILL)
        wait_for(lambda: box.client.job(id).state is not JobState.RUNNING, what="it to be noticed")
    job = box.wait_for_state(id, JobState.FAILED)
    assert "its runner died 3 times without a step above 0" in job.reason


# ---- Being stopped ------------------------------------------------------------------------------------


def test_sigterm_pauses_what_runs_and_the_next_daemon_resumes_it(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    assert box.stop() == 0
    assert not is_alive(box.runner(id))
    box.release()
    box.start()
    box.wait_for_state(id, JobState.DONE)
    assert box.steps(id) == list(range(1, 21)), "no step was lost or done twice"
    assert not any(event.text.startswith("orphan: ") for event in box.events()), "its own runner is none"


def test_a_run_that_a_person_paused_stays_paused_over_a_restart(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    box.client.pause(id)
    box.wait_for_state(id, JobState.PAUSED)
    assert box.stop() == 0
    box.start()
    assert box.client.job(id).state is JobState.PAUSED


def test_a_finetuning_that_a_stop_ended_starts_again(box: DaemonBox) -> None:
    box.wait_for_state(box.submit(steps=5).id, JobState.DONE)
    id = box.submit_finetuning("wnli").id
    box.wait_for_state(id, JobState.RUNNING)
    assert box.stop() == 0
    box.start()
    assert box.client.job(id).state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING)


def test_keep_running_on_stop_leaves_runs_alone(cold: DaemonBox) -> None:
    cold.plan(HOLDS)
    cold.start("--keep")
    id = cold.submit().id
    cold.wait_for_step(id, 7)
    before = cold.runner(id)
    assert cold.stop() == 0
    assert is_alive(before)
    cold.start()
    cold.release()
    cold.wait_for_state(id, JobState.DONE)
    assert cold.runner(id) == before


def test_a_backup_of_a_running_daemon_continues_in_another_folder(box: DaemonBox, tmp_path: Path) -> None:
    box.plan(HOLDS)
    job = box.submit(steps=20)
    box.wait_for_step(job.id, 7)
    out, elsewhere = tmp_path / "backup", tmp_path / "restored"
    write_backup(box.state, out, queue=box.client.queue_copy(), unfinished={job.run_id}, now=0.0)
    box.kill()
    box.clean_up()
    box.state.root.rename(tmp_path / "gone")
    restore_backup(out, elsewhere)
    box.state = StatePaths(elsewhere)
    box.plan(Plan())
    box.start()
    box.wait_for_state(job.id, JobState.DONE)
    assert (elsewhere / "runs" / job.run_id / "outcome.json").exists()


def test_a_newer_queue_is_served_read_only_and_is_not_written(cold: DaemonBox) -> None:
    cold.start()
    cold.wait_for_state(cold.submit(steps=3).id, JobState.DONE)
    assert cold.stop() == 0
    with sqlite3.connect(cold.state.queue) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = cold.state.queue.read_bytes()
    cold.start()
    why = cold.client.version().read_only
    assert why is not None and "written by a newer bertd (schema 999" in why
    assert [job.state for job in cold.client.jobs()] == [JobState.DONE]
    last = cold.client.runs()[0].step
    assert last is not None and last.step == 3
    with pytest.raises(DaemonError, match="the daemon changes nothing: .*install that version again"):
        cold.submit()
    assert "the daemon is read-only" in cold.client.status().events[-1].text
    assert cold.stop() == 0
    assert cold.state.queue.read_bytes() == before


def test_sighup_reads_the_configuration_again_and_a_bad_one_changes_nothing(cold: DaemonBox) -> None:
    def limit() -> object:
        (key,) = (each for each in cold.client.configuration() if each.key == "limits.queued_jobs_per_user")
        return key.value, Path(key.origin).name

    file = cold.folder / "configuration" / "bertd.toml"
    file.parent.mkdir()
    file.write_text("[limits]\nqueued_jobs_per_user = 5\n")
    with sdk_socket(cold.folder) as channel:
        cold.start(env={"NOTIFY_SOCKET": str(cold.folder / "notify.sock")})
        assert limit() == (5, "bertd.toml")
        assert cold.process is not None
        file.write_text("[limits]\nqueued_jobs_per_user = 6\n")
        cold.process.send_signal(signal.SIGHUP)
        wait_for(lambda: limit() == (6, "bertd.toml"), what="the new limit")
        file.write_text("[limits]\nqueued_jobs_per_user = -1\n")
        cold.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "was not reloaded" in cold.log, what="the refusal in the log")
        assert limit() == (6, "bertd.toml")
        while not channel.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC="):
            pass
        assert channel.recv(4096) == b"READY=1"
    assert [event.type for event in cold.events() if event.type == "configuration"] == ["configuration"] * 2


def test_a_wrong_configuration_is_refused_at_the_start(cold: DaemonBox) -> None:
    file = cold.folder / "configuration" / "bertd.toml"
    file.parent.mkdir()
    file.write_text("[deamon]\n")
    cold.spawn()
    assert cold.exit_code() == 78
    assert f"{file}: unknown section 'deamon'; did you mean daemon" in cold.log


def test_orders_are_refused_while_the_daemon_waits_for_a_save(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=7, ignores_orders=True))
    id = box.submit().id
    box.wait_for_step(id, 7)
    assert box.process is not None
    box.process.terminate()
    box.wait_for_state(id, JobState.PAUSING)
    with pytest.raises(DaemonError, match="is shutting down and accepts no changes"):
        box.submit()
    box.process.send_signal(signal.SIGINT)
    box.process.send_signal(signal.SIGINT)
    assert box.exit_code() == 0
    assert "job 1 has not saved; it keeps running" in box.log


def test_shutdown_over_the_socket_is_a_stop(box: DaemonBox) -> None:
    box.client.shutdown()
    assert box.exit_code() == 0


# ---- What it weighs ------------------------------------------------------------------------------------


def test_the_daemon_and_the_runner_never_load_torch(box: DaemonBox) -> None:
    box.plan(HOLDS)
    id = box.submit().id
    box.wait_for_step(id, 7)
    assert box.process is not None
    for pid in (box.process.pid, box.runner(id).pid):
        loaded = " ".join(region.path for region in psutil.Process(pid).memory_maps())
        assert "libpython" in loaded or "python" in loaded
        assert "torch" not in loaded
        assert "numpy" not in loaded


def test_the_daemon_is_light(box: DaemonBox) -> None:
    assert box.process is not None
    assert psutil.Process(box.process.pid).memory_info().rss <= 100e6

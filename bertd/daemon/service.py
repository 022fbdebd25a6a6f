"""`bertd start`: takes the state folder, opens the queue, adopts what runs, listens, and serves until told to stop.

Order matters. The lock comes before the database, the runners are adopted before anybody can ask, READY goes out when
requests are answered. At the end changes are refused first, then pretrainings save, then the socket goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket as sockets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from bertd.daemon.api import Parts, create_app
from bertd.daemon.assembly import assemble
from bertd.daemon.connections import IDLE_S, PeerConnection
from bertd.daemon.event_stream import TICK_S
from bertd.daemon.instance import InstanceLock
from bertd.daemon.listener import bind_socket, remove_socket
from bertd.daemon.notify import Notifier, passed_socket, watchdog_interval_s
from bertd.daemon.orphans import report_orphans
from bertd.daemon.runners import RunnerCommand, runner_command
from bertd.errors import StorageError
from bertd.jobs.database import Database
from bertd.jobs.lifecycle import LIVE
from bertd.run.durations import format_duration
from bertd.run.paths import StatePaths, default_socket
from bertd.wire import API_VERSION, StatusView

logger = logging.getLogger(__name__)

PAUSE_LIMIT_S = 150.0
"""How long a stop waits for pretrainings to save; the unit's TimeoutStopSec is longer."""
_STREAMS_END_S = 2


def serve(
    *,
    state_dir: Path,
    socket: Path | None,
    keep_running_on_stop: bool = False,
    runner: RunnerCommand = runner_command,
) -> int:
    """Run the daemon until SIGTERM, SIGINT or a shutdown request; the exit status.

    Args:
        state_dir: made where it is absent.
        socket: where to listen; None for systemd's, else the default.
        keep_running_on_stop: leave pretrainings running, for the next daemon to adopt.
        runner: the command that runs a job; tests pass their own.

    Raises:
        DaemonBusyError: another daemon has the state folder or the socket.
        DaemonError: the queue is damaged or newer, or the socket's path cannot be used.
        StorageError: the state folder cannot be written.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    state_dir = state_dir.absolute()
    try:
        state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{state_dir}: cannot make the state folder: {error.strerror}; choose another") from error
    paths = StatePaths(state_dir)
    lock = InstanceLock(paths.lock, now=time.time())
    try:
        database = Database(paths.queue)
        try:
            daemon = _Daemon(paths, database=database, keep_running=keep_running_on_stop, runner=runner)
            asyncio.run(daemon.run(socket))
        finally:
            database.close()
    finally:
        lock.release()
    return 0


class _Server(uvicorn.Server):
    """Leaves signals to the daemon, which has more to do than to close connections."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Daemon:
    def __init__(self, paths: StatePaths, *, database: Database, keep_running: bool, runner: RunnerCommand) -> None:
        self._paths = paths
        self._keep_running = keep_running
        self._notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._assembly = assemble(paths, database=database, runner=runner)

    async def run(self, socket: Path | None) -> None:
        """Serve until stopped."""
        listening, path = _listen(socket)
        inode = path.lstat().st_ino if path is not None else None
        try:
            self._assembly.devices.start()
            # Before anything is started: a runner is nobody's until it has written its name into its folder.
            report_orphans(self._paths, database=self._assembly.database, events=self._assembly.events)
            self._assembly.scheduler.take_over()
            await self._serve(listening, where=path)
        finally:
            self._assembly.devices.stop()
            listening.close()
            if path is not None and inode is not None:
                remove_socket(path, inode=inode)

    async def _serve(self, listening: sockets.socket, *, where: Path | None) -> None:
        server = _Server(_uvicorn_config(self._assembly.parts(shut_down=self._stop.set)))
        self._take_signals()
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        beating = asyncio.create_task(self._assembly.heart.run(self._assembly.scheduler.tick))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        logger.info("listening on %s, state in %s", where or "the socket unit's socket", self._paths.root)
        self._notifier.send(READY="1")
        ticking = asyncio.create_task(self._tick())
        try:
            await self._stop.wait()
            await self._wind_down()
        finally:
            self._assembly.hub.close()
            ticking.cancel()
            self._assembly.heart.end()
            server.should_exit = True
            await asyncio.gather(serving, beating, ticking, return_exceptions=True)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)

    def _interrupted(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _tick(self) -> None:
        """Once a second: the status line, the watchdog, and a tick for the streams."""
        interval_s = watchdog_interval_s()
        next_watchdog = time.monotonic()
        while True:
            try:
                if interval_s is not None and time.monotonic() >= next_watchdog:
                    self._notifier.send(WATCHDOG="1")
                    next_watchdog += interval_s
                if self._assembly.hub.num_streams or os.environ.get("NOTIFY_SOCKET"):
                    status = self._assembly.views.status()
                    self._notifier.send(now_once=True, STATUS=status_line(status))
                    if self._assembly.hub.num_streams:
                        self._assembly.hub.publish_tick(status)
            except Exception:
                logger.exception("a tick failed; the next one tries again")
            await asyncio.sleep(TICK_S)

    async def _wind_down(self) -> None:
        """Refuse changes, and have pretrainings saved; those that do not manage in time run on."""
        self._notifier.send(STOPPING="1", STATUS="stopping")
        self._assembly.desk.is_stopping = True
        if self._keep_running:
            self._assembly.scheduler.is_stopping = True
            return
        self._assembly.scheduler.wind_down()
        deadline = time.monotonic() + PAUSE_LIMIT_S
        while (live := self._assembly.queue.live()) and time.monotonic() < deadline and not self._hurry.is_set():
            names = ", ".join(str(job.id) for job in live)
            self._notifier.send(now_once=True, STATUS=f"stopping; waits for job {names} to save")
            await self._assembly.hub.wait(TICK_S)
        for job in self._assembly.queue.live():
            logger.warning("job %d has not saved; it runs on, and the next daemon takes it over", job.id)


def status_line(status: StatusView) -> str:
    """One line for systemctl status. Pure."""
    live = [run for run in status.runs if run.state in LIVE]
    queued = sum(job.state not in LIVE and job.ended_t is None for job in status.jobs)
    if not live:
        return f"idle, {queued} waiting"
    run = live[0]
    left = format_duration(run.budget.remaining_s) if run.budget.remaining_s is not None else "unknown time"
    loss = f", loss {run.step.loss:.3f}" if run.step is not None else ""
    return f"{run.id} {run.state} {run.budget.progress:.0%}, {left} left{loss}; {queued} waiting"


def _uvicorn_config(parts: Parts) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(parts),
        http=PeerConnection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        headers=[("Bertd-Api-Version", str(API_VERSION))],
        h11_max_incomplete_event_size=16 << 10,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=_STREAMS_END_S,
    )


def _listen(socket: Path | None) -> tuple[sockets.socket, Path | None]:
    """The listening socket, and the name that the daemon gave it."""
    if socket is None and (passed := passed_socket()) is not None:
        return passed, None
    path = (socket or default_socket()).absolute()
    return bind_socket(path), path

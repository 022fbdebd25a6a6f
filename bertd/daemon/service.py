"""`bertd start`: lock the state folder, open the queue, adopt running jobs, listen, and serve until stopped.

Order matters. The lock comes before the database, runners are adopted before the first request is answered, and READY
is sent when requests are answered. At shutdown changes are refused first, then pretrainings save, then the socket is
removed.
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
from typing import Any

import pynvml
import uvicorn

import bertd
from bertd.api.models import StatusView
from bertd.api.version import API_VERSION, API_VERSION_HEADER, VERSION_HEADER
from bertd.daemon.api.api_services import ApiServices
from bertd.daemon.api.application import create_app
from bertd.daemon.api.connections import IDLE_TIMEOUT_S, PeerConnection
from bertd.daemon.api.event_stream import TICK_INTERVAL_S
from bertd.daemon.configuration.sources import ConfigurationSources, read_configuration
from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.process.listener import SocketWatch, bind_socket
from bertd.daemon.process.log_format import write_log_to
from bertd.daemon.process.open_files import raise_open_file_limit
from bertd.daemon.process.open_queue import open_queue
from bertd.daemon.process.state_folder import find_lost_runs, open_state_folder, report_lost_runs
from bertd.daemon.process.state_lock import StateLock
from bertd.daemon.process.systemd import SystemdNotifier, take_passed_socket, watchdog_interval_s
from bertd.daemon.scheduling.orphans import report_orphans
from bertd.daemon.scheduling.runners import RunnerCommand, runner_command
from bertd.daemon.wiring import Services, build_services
from bertd.errors import StorageError
from bertd.jobs.store.lifecycle import ENDED, LIVE
from bertd.records import PROGRAM_KINDS
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_share
from bertd.run.paths import StatePaths, default_socket

logger = logging.getLogger(__name__)

SAVE_TIMEOUT_S = 150.0
"""How long a stop waits for pretrainings to save; the unit's TimeoutStopSec is longer."""
_STREAM_CLOSE_TIMEOUT_S = 2


def serve(
    sources: ConfigurationSources, *, socket: Path | None, runner: RunnerCommand = runner_command, nvml: Any = pynvml
) -> int:
    """Run the daemon until SIGTERM, SIGINT or a shutdown request; return the exit status.

    Args:
        sources: of the configuration; its state folder is created if it does not exist.
        socket: where to listen; None for systemd's, else the default.
        runner: the command that runs a job; tests pass their own.
        nvml: the driver's library; tests pass a stand-in.

    Raises:
        ConfigurationError: a file of the configuration is wrong.
        DaemonBusyError: another daemon has the state folder or the socket.
        DaemonError: the queue is damaged or newer, the socket's path cannot be used, or another user could change what
            is in one of their folders.
        StorageError: the state folder cannot be written.
    """
    write_log_to(sys.stderr)
    raise_open_file_limit()
    configuration = read_configuration(sources)
    paths = open_state_folder(configuration.state_dir)
    lock = StateLock(paths.lock, now=time.time())
    try:
        lost = find_lost_runs(paths)
        with open_queue(paths.queue) as (database, read_only):
            services = build_services(
                paths,
                database=database,
                runner=runner,
                sources=sources,
                started=configuration,
                read_only=read_only,
                nvml=nvml,
            )
            if read_only is None:
                report_lost_runs(lost, paths=paths, database=database, events=services.events)
            daemon = _Daemon(paths, services)
            asyncio.run(daemon.run(socket))
    finally:
        lock.release()
    return 0


class _UvicornServer(uvicorn.Server):
    """Leaves signals to the daemon, which has more to do than to close connections."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def listen_also(self, listener: sockets.socket) -> None:
        """Accept connections of one more listening socket, until the server ends."""

        def connect() -> asyncio.Protocol:
            return PeerConnection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        self.servers.append(await asyncio.get_running_loop().create_server(connect, sock=listener))


class _Daemon:
    def __init__(self, paths: StatePaths, services: Services) -> None:
        self._paths = paths
        self._notifier = SystemdNotifier(os.environ.get("NOTIFY_SOCKET"))
        self._stop = asyncio.Event()
        self._skip_wait = asyncio.Event()
        self._socket: SocketWatch | None = None
        """None for the socket unit's, which systemd looks after."""
        self._services = services
        self._is_read_only = services.views.version.read_only is not None

    async def run(self, socket: Path | None) -> None:
        """Serve until stopped."""
        listener, path = _open_listener(socket)
        self._socket = None if path is None else SocketWatch(path)
        try:
            self._services.devices.start()
            if not self._is_read_only:
                # Before anything is started: a runner looks like an orphan until it has written its identity.
                report_orphans(self._paths, database=self._services.database, events=self._services.events)
                self._services.scheduler.recover_jobs()
            await self._serve(listener, socket_path=path)
        finally:
            self._services.devices.stop()
            listener.close()
            if self._socket is not None:
                self._socket.remove()

    async def _serve(self, listener: sockets.socket, *, socket_path: Path | None) -> None:
        server = _UvicornServer(_uvicorn_config(self._services.api_services(shut_down=self._stop.set)))
        self._install_signal_handlers()
        server_task = asyncio.create_task(server.serve(sockets=[listener]))
        scheduler_task = asyncio.create_task(
            self._services.scheduler_loop.run(self._services.latencies.timed(self._tick))
        )
        while not server.started and not server_task.done():
            await asyncio.sleep(0.01)
        logger.info("listening on %s, state in %s", socket_path or "the socket unit's socket", self._paths.root)
        self._notifier.send(READY="1")
        report_task = asyncio.create_task(self._report_periodically(server))
        try:
            await self._stop.wait()
            await self._shut_down_gracefully()
        finally:
            self._services.hub.close()
            report_task.cancel()
            self._services.scheduler_loop.stop()
            server.should_exit = True
            await asyncio.gather(server_task, scheduler_task, report_task, return_exceptions=True)
            if not self._is_read_only:
                await self._stop_hooks()

    async def _stop_hooks(self) -> None:
        try:
            await self._services.hooks.stop()
        except StorageError as error:
            logger.error("what hooks delivered at the end is not in the event log: %s", error)

    def _tick(self) -> bool:
        """One round of the scheduler, and of the hooks, which a failure of the other does not silence."""
        if self._is_read_only:
            return False
        try:
            return self._services.scheduler.tick()
        finally:
            self._services.device_watch.advance(now=time.time())
            self._services.energy_meter.advance(now=time.time(), now_s=time.monotonic())
            self._services.disk_quotas.advance(now=time.time())
            self._services.hooks.advance()

    def _install_signal_handlers(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _on_interrupt(self) -> None:
        if self._stop.is_set():
            self._skip_wait.set()
        self._stop.set()

    def _reload(self) -> None:
        self._notifier.send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            self._services.configuration.reload()
        except StorageError as error:
            # The event of it could not be written; what was read applies.
            logger.error("%s", error)
        finally:
            # Without it systemd would wait for the end of the reload.
            self._notifier.send(READY="1")

    async def _report_periodically(self, server: _UvicornServer) -> None:
        """Once a second: the status line, the watchdog, a tick for the streams, and whether the socket exists."""
        interval_s = watchdog_interval_s()
        next_watchdog = time.monotonic()
        while True:
            try:
                if interval_s is not None and time.monotonic() >= next_watchdog:
                    self._notifier.send(WATCHDOG="1")
                    next_watchdog += interval_s
                if self._socket is not None and (listener := self._socket.bind_if_removed()) is not None:
                    await server.listen_also(listener)
                if self._services.hub.num_streams or os.environ.get("NOTIFY_SOCKET"):
                    status = self._services.views.status()
                    self._notifier.send(only_if_changed=True, STATUS=status_line(status))
                    if self._services.hub.num_streams:
                        self._services.hub.publish_tick(status)
            except Exception:
                # The edge of a tick: without the next one systemd's watchdog would kill the daemon.
                logger.exception("a tick failed; the next one tries again")
            await asyncio.sleep(TICK_INTERVAL_S)

    async def _shut_down_gracefully(self) -> None:
        """Refuse changes and have pretrainings save; those that do not finish in time keep running."""
        self._notifier.send(STOPPING="1", STATUS="stopping")
        self._services.request_handler.changes.is_stopping = True
        if self._is_read_only or self._services.configuration.values.daemon.keep_running_on_stop:
            self._services.scheduler.is_stopping = True
            return
        self._services.scheduler.prepare_shutdown()
        deadline = time.monotonic() + SAVE_TIMEOUT_S
        while live := self._services.scheduler.jobs_to_save():
            if time.monotonic() >= deadline or self._skip_wait.is_set():
                break
            names = ", ".join(str(job.id) for job in live)
            self._notifier.send(only_if_changed=True, STATUS=f"stopping; waits for job {names} to save")
            await self._services.hub.wait(TICK_INTERVAL_S)
        for job in self._services.queue.live():
            what = f"is a job of kind {job.kind}" if job.kind in PROGRAM_KINDS else "has not saved"
            logger.warning(
                "job %d %s; it keeps running, and the next daemon adopts it",
                job.id,
                what,
                extra=log_fields(job.id, job.run_id),
            )


def status_line(status: StatusView) -> str:
    """One line for systemctl status. Pure."""
    live = [run for run in status.runs if run.state in LIVE]
    # Of all jobs: the status lists fifty of them.
    queued = sum(number for state, number in status.num_jobs_by_state.items() if state not in LIVE | ENDED)
    if not live:
        return f"idle, {queued} waiting"
    run = live[0]
    left = format_duration(run.budget.remaining_s) if run.budget.remaining_s is not None else "unknown time"
    loss = f", loss {run.step.loss:.3f}" if run.step is not None else ""
    return f"{run.id} {run.state} {format_share(run.budget.progress)}, {left} left{loss}; {queued} waiting"


def _uvicorn_config(api_services: ApiServices) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(api_services),
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
        headers=[(API_VERSION_HEADER, str(API_VERSION)), (VERSION_HEADER, bertd.__version__)],
        h11_max_incomplete_event_size=16 << 10,
        timeout_keep_alive=IDLE_TIMEOUT_S,
        timeout_graceful_shutdown=_STREAM_CLOSE_TIMEOUT_S,
    )


def _open_listener(socket: Path | None) -> tuple[sockets.socket, Path | None]:
    """The listening socket, and its path if the daemon created it."""
    if socket is None and (passed := take_passed_socket()) is not None:
        return passed, None
    path = (socket or default_socket()).absolute()
    return bind_socket(path), path

"""Puts the daemon's parts together over one database. Nothing runs yet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pynvml

import bertd
from bertd.daemon.admission import Submissions
from bertd.daemon.api import ApiServices
from bertd.daemon.budgets import BudgetChanges
from bertd.daemon.desk import RequestHandler
from bertd.daemon.devices import Devices
from bertd.daemon.event_stream import EventHub
from bertd.daemon.heart import SchedulerLoop
from bertd.daemon.orders import JobActions
from bertd.daemon.runners import RunnerCommand, Runners
from bertd.daemon.scheduler import Scheduler
from bertd.daemon.telemetry import RunMetrics
from bertd.daemon.views import Views
from bertd.jobs.audit import Audit
from bertd.jobs.database import Database
from bertd.jobs.event_log import EventLog
from bertd.jobs.queue import Queue
from bertd.run.paths import StatePaths
from bertd.wire import API_VERSION, VersionView


@dataclass(frozen=True)
class Services:
    """What the service starts and stops."""

    database: Database
    events: EventLog
    queue: Queue
    devices: Devices
    telemetry: RunMetrics
    scheduler: Scheduler
    scheduler_loop: SchedulerLoop
    hub: EventHub
    views: Views
    desk: RequestHandler

    def api_services(self, *, shut_down: Callable[[], None]) -> ApiServices:
        """What the API's handlers ask."""
        return ApiServices(
            desk=self.desk,
            views=self.views,
            queue=self.queue,
            telemetry=self.telemetry,
            hub=self.hub,
            shut_down=shut_down,
        )


def build_services(paths: StatePaths, *, database: Database, runner: RunnerCommand) -> Services:
    """Make every part; the event loop need not run."""
    events = EventLog(database)
    queue = Queue(database, events)
    queue.reserve_ids_up_to(_highest_job_id(paths))
    devices = Devices(pynvml)
    telemetry = RunMetrics(database)
    scheduler_loop = SchedulerLoop()
    scheduler = Scheduler(
        database=database,
        queue=queue,
        events=events,
        telemetry=telemetry,
        runners=Runners(command=runner, wake=scheduler_loop.wake),
        inventory=devices.inventory,
    )
    views = Views(version=_version(paths), queue=queue, events=events, telemetry=telemetry, devices=devices)
    hub = EventHub(events)
    database.after_commit = hub.on_commit
    desk = RequestHandler(
        database=database,
        queue=queue,
        audit=Audit(database),
        submissions=Submissions(paths, database=database, queue=queue, inventory=devices.inventory),
        job_actions=JobActions(database, queue, inventory=devices.inventory),
        budget_changes=BudgetChanges(telemetry=telemetry, scheduler=scheduler, views=views),
        views=views,
        wake=scheduler_loop.wake,
    )
    return Services(
        database=database,
        events=events,
        queue=queue,
        devices=devices,
        telemetry=telemetry,
        scheduler=scheduler,
        scheduler_loop=scheduler_loop,
        hub=hub,
        views=views,
        desk=desk,
    )


def _version(paths: StatePaths) -> VersionView:
    return VersionView(
        bertd=bertd.__version__, api=API_VERSION, pid=os.getpid(), state_dir=str(paths.root), started_t=time.time()
    )


def _highest_job_id(paths: StatePaths) -> int:
    """The highest job number in folders of an earlier queue; 0 for none."""
    runs = paths.run("x").root.parent
    finetunes = paths.foreign_finetune(0).root.parent
    names = [entry.name for folder in (runs, finetunes) if folder.is_dir() for entry in folder.iterdir()]
    return max((int(number) for name in names if (number := name.partition("-")[0]).isdecimal()), default=0)

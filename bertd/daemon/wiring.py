"""Build the daemon's parts over one database, without starting them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml

import bertd
from bertd.api.models import VersionView
from bertd.api.version import API_VERSION
from bertd.daemon.admission.quota import Quotas
from bertd.daemon.api.api_services import ApiServices
from bertd.daemon.api.audited_changes import AuditedChanges
from bertd.daemon.api.event_stream import EventHub
from bertd.daemon.api.requests import RequestHandler, SweepRequests
from bertd.daemon.api.start_condition_views import StartConditionViews
from bertd.daemon.api.views import Views
from bertd.daemon.command_submissions import CommandSubmissions
from bertd.daemon.configuration.live import LiveConfiguration
from bertd.daemon.configuration.sources import ConfigurationSources, LoadedConfiguration
from bertd.daemon.disk_quotas.disk_quotas import DiskQuotas
from bertd.daemon.garbage.collect import GarbageCollector
from bertd.daemon.grids.marker_grids import MarkerGrids
from bertd.daemon.hooks.hooks import Hooks
from bertd.daemon.lending.lend_requests import LendRequests
from bertd.daemon.metrics.latencies import Latencies
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.program_submissions import ProgramSubmissions
from bertd.daemon.scheduling.budget_changes import BudgetChanges
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.conditions.group_limits import GroupLimits
from bertd.daemon.scheduling.conditions.software_changes import SoftwareChanges
from bertd.daemon.scheduling.devices.device_drains import DeviceDrains
from bertd.daemon.scheduling.devices.failover import Failover
from bertd.daemon.scheduling.devices.inventory import Devices
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.scheduling.runners import RunnerCommand, Runners
from bertd.daemon.scheduling.scheduler import Scheduler
from bertd.daemon.scheduling.scheduler_loop import SchedulerLoop
from bertd.daemon.submissions import Submissions
from bertd.daemon.sweeps.sweep_actions import SweepActions
from bertd.daemon.sweeps.sweep_driver import SweepDriver
from bertd.daemon.sweeps.sweep_settings import SweepSettings
from bertd.daemon.sweeps.sweep_views import SweepViews
from bertd.daemon.telemetry.device_watch import DeviceWatch
from bertd.daemon.telemetry.energy_meter import EnergyMeter
from bertd.daemon.telemetry.job_alerts import JobAlerts
from bertd.jobs.store.audit import Audit
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.drained_devices import DrainedDevices
from bertd.jobs.store.tables.marker_grid_table import MarkerGridTable
from bertd.jobs.store.tables.sweep_table import SweepTable
from bertd.run.ledger import boot_id
from bertd.run.machine.software import InstalledSoftware
from bertd.run.paths import StatePaths

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Services:
    """The parts that the service starts and stops."""

    database: Database
    events: EventLog
    queue: Queue
    devices: Devices
    run_metrics: RunMetrics
    scheduler: Scheduler
    scheduler_loop: SchedulerLoop
    hub: EventHub
    latencies: Latencies
    views: Views
    request_handler: RequestHandler
    configuration: LiveConfiguration
    hooks: Hooks
    device_watch: DeviceWatch
    energy_meter: EnergyMeter
    disk_quotas: DiskQuotas

    def api_services(self, *, shut_down: Callable[[], None]) -> ApiServices:
        """The parts that the API's handlers call."""
        return ApiServices(
            request_handler=self.request_handler,
            views=self.views,
            queue=self.queue,
            run_metrics=self.run_metrics,
            hub=self.hub,
            latencies=self.latencies,
            configuration=self.configuration,
            hooks=self.hooks,
            shut_down=shut_down,
        )


def build_services(
    paths: StatePaths,
    *,
    database: Database,
    runner: RunnerCommand,
    sources: ConfigurationSources,
    started: LoadedConfiguration,
    read_only: str | None = None,
    nvml: Any = pynvml,
) -> Services:
    """Build every part; no event loop is needed.

    Args:
        sources: of the configuration, for reloads.
        started: the configuration that was read from them.
        read_only: why the daemon changes nothing; None if it does its work.
        nvml: a test's own in place of the driver's library.
    """
    events = EventLog(database)
    configuration = LiveConfiguration(sources, started, report=_reporter(database, events))
    installed = InstalledSoftware(os.environ)
    queue = Queue(database, events, root=paths.root, software=installed.read)
    queue.reserve_ids_up_to(_highest_job_id(paths))
    hooks = Hooks(database, events, configured=lambda: configuration.values.hooks)
    devices = Devices(nvml, finetunings_per_gpu=started.values.devices.finetunings_per_gpu, disk=paths.root)
    run_metrics = RunMetrics(database)
    scheduler_loop = SchedulerLoop()
    drained = DrainedDevices(database, events)
    marker_grid_table = MarkerGridTable(database, events)

    def groups() -> dict[str, GroupLimits]:
        return {name: group.limits for name, group in configuration.values.groups.items()}

    alerts = JobAlerts(queue, events, step_of=lambda job: run_metrics.summary(job).progress.step)
    garbage = GarbageCollector(queue, events)
    disk_quotas = DiskQuotas(
        paths,
        database=database,
        queue=queue,
        events=events,
        garbage=garbage,
        alerts=alerts,
        limits=lambda: configuration.values.quotas.limits,
    )
    quotas = Quotas(
        queue, limit=lambda: configuration.values.limits.queued_jobs_per_user, groups=groups, disk=disk_quotas
    )
    submissions = Submissions(
        paths,
        database=database,
        queue=queue,
        inventory=devices.inventory,
        marker_grids=marker_grid_table,
        quotas=quotas,
    )
    job_actions = JobActions(database, queue, inventory=devices.inventory, quotas=quotas)
    sweep_table, sweep_settings = SweepTable(database, events), SweepSettings()
    sweep_driver = SweepDriver(
        paths,
        database=database,
        queue=queue,
        events=events,
        table=sweep_table,
        settings=sweep_settings,
        submissions=submissions,
        run_metrics=run_metrics,
        inventory=devices.inventory,
    )
    marker_grids = MarkerGrids(
        database=database,
        queue=queue,
        events=events,
        table=marker_grid_table,
        submissions=submissions,
        run_metrics=run_metrics,
        inventory=devices.inventory,
    )

    def queue_jobs() -> None:
        sweep_driver.advance()
        marker_grids.advance()

    software_changes = SoftwareChanges(
        database,
        installed=installed,
        alerts=alerts,
        holds=lambda: configuration.values.upgrades.queued_jobs == "hold",
        clock=time.time,
    )

    def check_at_start(job: Job) -> None:
        submissions.admit_at_start(job)
        software_changes.check_at_start(job)

    runners = Runners(command=runner, wake=scheduler_loop.wake)
    failover = Failover(
        queue,
        runners=runners,
        inventory=devices.inventory,
        out_of_service=lambda: {*drained.askers(), *devices.unusable()},
    )
    scheduler = Scheduler(
        database=database,
        queue=queue,
        events=events,
        run_metrics=run_metrics,
        runners=runners,
        inventory=devices.inventory,
        foreign_processes=devices.foreign_processes,
        drained=drained.askers,
        unusable=lambda: devices.unusable().keys(),
        groups=groups,
        queue_jobs=queue_jobs,
        check_at_start=check_at_start,
    )
    dependencies = Dependencies(database, queue, run_metrics=run_metrics)
    energy_meter = EnergyMeter(
        database,
        queue,
        states=devices.states,
        power=lambda: configuration.values.power,
        boot_id=boot_id(),
        runner_pids=runners.pids,
    )
    views = Views(
        version=_version(paths, read_only=read_only),
        queue=queue,
        events=events,
        run_metrics=run_metrics,
        devices=devices,
        marker_grids=marker_grid_table,
        start_conditions=StartConditionViews(database, dependencies=dependencies),
        outlook=scheduler.outlook,
        lends=scheduler.lends,
        drained=drained.askers,
        energy=energy_meter.energy,
        software_changes=software_changes.of_job,
        disk_quotas=disk_quotas,
        would_start=scheduler.would_start,
    )
    hub = EventHub(events)
    database.after_commit = hub.on_commit
    request_handler = RequestHandler(
        changes=AuditedChanges(database, Audit(database), read_only=read_only, wake=scheduler_loop.wake),
        database=database,
        queue=queue,
        submissions=submissions,
        lend_requests=LendRequests(
            database=database,
            queue=queue,
            lends=scheduler.lends,
            submissions=submissions,
            run_metrics=run_metrics,
            inventory=devices.inventory,
            sweeps=sweep_table,
            out_of_service=lambda: {*drained.askers(), *devices.unusable()},
            devices=views.devices,
        ),
        command_submissions=CommandSubmissions(
            paths, database=database, queue=queue, inventory=devices.inventory, quotas=quotas
        ),
        program_submissions=ProgramSubmissions(
            paths, database=database, queue=queue, inventory=devices.inventory, quotas=quotas
        ),
        dependencies=dependencies,
        job_actions=job_actions,
        device_drains=DeviceDrains(drained, inventory=devices.inventory),
        sweeps=SweepRequests(
            table=sweep_table,
            actions=SweepActions(
                paths,
                database=database,
                queue=queue,
                table=sweep_table,
                submissions=submissions,
                job_actions=job_actions,
            ),
            views=SweepViews(paths, queue=queue, table=sweep_table, run_metrics=run_metrics),
        ),
        garbage=garbage,
        budget_changes=BudgetChanges(run_metrics=run_metrics, scheduler=scheduler),
        hooks=hooks,
        views=views,
        quotas=quotas,
        commands_for_operators=lambda: configuration.values.commands.for_operators,
        roots=lambda: configuration.values.paths.roots,
    )
    return Services(
        database=database,
        events=events,
        queue=queue,
        devices=devices,
        run_metrics=run_metrics,
        scheduler=scheduler,
        scheduler_loop=scheduler_loop,
        hub=hub,
        latencies=Latencies(),
        views=views,
        request_handler=request_handler,
        configuration=configuration,
        hooks=hooks,
        energy_meter=energy_meter,
        disk_quotas=disk_quotas,
        device_watch=DeviceWatch(
            database,
            events,
            queue=queue,
            devices=devices,
            drained=drained,
            alerts=alerts,
            on_lost=failover.leave,
        ),
    )


def _reporter(database: Database, events: EventLog) -> Callable[[str], None]:
    """Writes a sentence about the configuration to the log and to the event stream."""

    def report(message: str) -> None:
        logger.info("%s", message)
        with database.transaction():
            events.append("configuration", message, now=time.time(), job_id=None, run_id=None, data={})

    return report


def _version(paths: StatePaths, *, read_only: str | None) -> VersionView:
    return VersionView(
        bertd=bertd.__version__,
        api=API_VERSION,
        pid=os.getpid(),
        state_dir=str(paths.root),
        started_t=time.time(),
        read_only=read_only,
    )


def _highest_job_id(paths: StatePaths) -> int:
    """The highest job number in folders of an earlier queue; 0 for none."""
    runs = paths.run("x").root.parent
    finetunes, commands = paths.foreign_finetune(0).root.parent, paths.command(0).root.parent
    names = [entry.name for folder in (runs, finetunes, commands) if folder.is_dir() for entry in folder.iterdir()]
    return max((int(number) for name in names if (number := name.partition("-")[0]).isdecimal()), default=0)

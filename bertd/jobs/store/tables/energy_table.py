"""The energy that jobs have used, and the cards' own counters when it was last added up."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

from bertd.jobs.store.database import Database

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnergyRow:
    """Of one job."""

    t: float
    gpu_j: float = 0.0
    measured_s: float = 0.0
    """Seconds of one GPU."""
    unmeasured_s: float = 0.0
    boot_id: str = ""
    """Of the counters: the driver begins them again."""
    counters_j: dict[str, float] = field(default_factory=dict)
    """By GPU, while the job has it."""
    cpu_j: float = 0.0
    cpu_measured_s: float = 0.0
    """Seconds of the job over which `cpu_j` was estimated."""


class EnergyTable:
    """Reads and writes rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job_id: int) -> EnergyRow | None:
        """None where nothing was noted."""
        row = self._database.execute(
            "SELECT t, gpu_j, measured_s, unmeasured_s, boot_id, counters_j, cpu_j, cpu_measured_s"
            " FROM job_energy WHERE job_id = ?",
            (job_id,),
        ).fetchone()
        if row is None:
            return None
        return EnergyRow(**{**dict(row), "counters_j": _counters(row["counters_j"], job_id=job_id)})

    def put(self, job_id: int, row: EnergyRow) -> None:
        """Replace a job's row, within the caller's transaction."""
        self._database.execute(
            "INSERT OR REPLACE INTO job_energy (job_id, t, gpu_j, measured_s, unmeasured_s, boot_id, counters_j,"
            " cpu_j, cpu_measured_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(job_id, row.t, row.gpu_j, row.measured_s, row.unmeasured_s, row.boot_id),
                *(json.dumps(row.counters_j), row.cpu_j, row.cpu_measured_s),
            ),
        )


def _counters(text: str, *, job_id: int) -> dict[str, float]:
    """By GPU; none of a damaged row: only what was used while no daemon ran is then not counted."""
    try:
        return {str(gpu): float(joules) for gpu, joules in json.loads(text).items()}
    except (AttributeError, TypeError, ValueError) as error:
        logger.warning("queue.db: the energy counters of job %d are damaged and count no more: %s", job_id, error)
        return {}

"""The last check of a job before it starts: its data, where that was not there before, and what is installed."""

from __future__ import annotations

from collections.abc import Callable

from bertd.errors import BertdError, SilentDiskError, SoftwareChangedError
from bertd.jobs.store.lifecycle import Actor, change_by_other_software, change_by_unusable_data, reason_to_wait
from bertd.jobs.store.queue import Job, Queue

ASK_AGAIN_S = 30.0
"""After which a disk that did not answer is asked again."""


class StartCheck:
    """Holds jobs that cannot start as meant, and leaves those out for a while whose disk does not answer."""

    def __init__(self, queue: Queue, *, check: Callable[[Job], None]) -> None:
        """`check` raises what is wrong with a job."""
        self._queue = queue
        self._check = check
        self._ask_again_t: dict[int, float] = {}
        """By job whose disk does not answer."""

    def without_silent(self, jobs: list[Job], *, now: float) -> list[Job]:
        """The jobs but for those whose disk is not asked again yet: they hold up nobody."""
        if not self._ask_again_t:
            return jobs
        # A clock that was set back must not make them wait for longer.
        self._ask_again_t = {id: t for id, t in self._ask_again_t.items() if 0 < t - now <= ASK_AGAIN_S}
        return [job for job in jobs if job.id not in self._ask_again_t]

    def may_start(self, job: Job, *, now: float) -> bool:
        """Whether a job that gets devices may start; its state or its reason says why not."""
        try:
            self._check(job)
        except SilentDiskError as error:
            self._ask_again_t[job.id] = now + ASK_AGAIN_S
            self._queue.update(job.id, reason=reason_to_wait(job.status, f"waits: {error}"))
            return False
        except SoftwareChangedError as error:
            change = change_by_other_software(job.id, str(error))
        except BertdError as error:
            change = change_by_unusable_data(job.id, str(error))
        else:
            return True
        self._queue.apply(job.id, change, actor=Actor.SCHEDULER, now=now)
        return False

"""Make parts on the machines of a Ray cluster.

This process reads the sources and sends blocks; an actor on each processor of the cluster sends the content of parts
back, which this process writes. So only this machine needs the sources and the output, and a machine that is lost costs
its unfinished parts alone: Ray gives them to another actor. bertd is installed on every machine.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import bertd
from bertd.data.prepare.parts.part_file import PARTS_FORMAT, PartFacts, part_path
from bertd.data.prepare.parts.tokenize_part import PartTask
from bertd.data.prepare.parts.worker_pool import WorkerSetup
from bertd.errors import BertdError, CorpusError
from bertd.run.atomic_files import atomic_write

LOCAL = "ray"
"""The cluster that $RAY_ADDRESS names, or one of this machine alone."""
CLIENT_PREFIX = "ray://"
_TASKS_PER_ACTOR = 2
"""One that it makes, and the next, whose blocks are then there already."""
_MAX_RESTARTS = 5
"""Of an actor whose process or machine was lost."""


class RayWorkers:
    """Actors of a Ray cluster."""

    def __init__(self, setup: WorkerSetup, *, address: str, num_workers: int | None) -> None:
        """Connect, and start the actors.

        Args:
            address: LOCAL, or `ray://HEAD:10001`.
            num_workers: None for one on each processor of the cluster.

        Raises:
            CorpusError: Ray is not installed, or the cluster does not answer or has another bertd.
        """
        try:
            import ray
        except ImportError as error:
            raise CorpusError("--on ray needs the package ray; pip install 'bertd[ray]'") from error
        self._ray: Any = ray
        self._folder = setup.folder
        self._pending: dict[Any, tuple[int, int]] = {}
        """Number of the part, and of the actor, by the reference to the result."""
        try:
            ray.init(
                address if address.startswith(CLIENT_PREFIX) else os.environ.get("RAY_ADDRESS", "local"),
                log_to_driver=False,
                logging_level="error",
                **({} if address.startswith(CLIENT_PREFIX) else {"ignore_reinit_error": True}),
            )
            count = num_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            make_actor = ray.remote(num_cpus=1, max_restarts=_MAX_RESTARTS, max_task_retries=_MAX_RESTARTS)(_PartActor)
            shared = ray.put(setup)
            self._actors = [make_actor.remote(shared, _identity()) for _ in range(count)]
            self._load = [0] * count
            # The answer of the first shows whether the cluster can make parts at all.
            ray.get(ray.wait([actor.check.remote() for actor in self._actors], num_returns=1)[0])
        except ray.exceptions.RayError as error:
            self.close()
            raise CorpusError(_describe(error)) from error
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise CorpusError(
                f"--on {address}: the Ray cluster does not answer: {_first_line(error)}; check the address, and that "
                "its Ray and Python are of the same versions as here"
            ) from error

    @property
    def num_workers(self) -> int:
        """Actors."""
        return len(self._actors)

    def submit(self, task: PartTask) -> None:
        """Send a task to the actor that has the fewest."""
        actor = min(range(len(self._actors)), key=self._load.__getitem__)
        self._pending[self._actors[actor].make_part.remote(task)] = (task.number, actor)
        self._load[actor] += 1

    def collect(self) -> list[tuple[int, PartFacts]]:
        """Wait for a part, and write all that are there.

        Raises:
            CorpusError: an actor died too often.
            cause: as `PartTokenizer.build_part`.
        """
        collected = []
        try:
            first, _ = self._ray.wait(list(self._pending), num_returns=1)
            more, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
            for reference in deque(dict.fromkeys([*first, *more])):
                facts, content = self._ray.get(reference)
                number, actor = self._pending.pop(reference)
                self._load[actor] -= 1
                atomic_write(part_path(self._folder, number), content)
                collected.append((number, facts))
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, BertdError):
                raise cause from error
            raise CorpusError(_describe(error)) from error
        return collected

    @property
    def is_full(self) -> bool:
        return self.num_pending >= _TASKS_PER_ACTOR * len(self._actors)

    @property
    def num_pending(self) -> int:
        return len(self._pending)

    def close(self) -> None:
        """Leave the cluster, which ends the actors."""
        self._ray.shutdown()


class _PartActor:
    """One process of the cluster."""

    def __init__(self, setup: WorkerSetup, identity: str) -> None:
        # The tokenizer's own threads would compete for the same processors.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.environ["RAYON_NUM_THREADS"] = "1"
        self._mismatch = (
            ""
            if identity == _identity()
            else f"a machine of the Ray cluster has {_identity()}, and this one {identity}; install the same on all"
        )
        self._part_tokenizer = None if self._mismatch else setup.make_part_tokenizer()

    def check(self) -> None:
        """See that this machine has the same bertd.

        Raises:
            CorpusError: it has another one.
        """
        if self._mismatch:
            raise CorpusError(self._mismatch)

    def make_part(self, task: PartTask) -> tuple[PartFacts, bytes]:
        """Facts and content of a part."""
        self.check()
        assert self._part_tokenizer is not None
        return self._part_tokenizer.build_part(task)


def _identity() -> str:
    return f"bertd {bertd.__version__}, format of parts {PARTS_FORMAT}"


def _describe(error: Exception) -> str:
    """What a user is told: the error of the actor, or what Ray says."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BertdError):
        return str(cause)
    reason = _first_line(error)
    return f"a worker of the Ray cluster failed: {reason}; finished parts are kept: run the same command again"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

"""Launch an attempt on the first of several machines, which has the run folder."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from bertd.records import EndRecord
from bertd.run.journal_digest import read_digest
from bertd.run.log import log_line
from bertd.run.paths import RunPaths
from bertd.run.ranks.meeting import report_meeting
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, report_failure
from bertd.run.recipe.schema import Recipe
from bertd.train.distributed.nodes.gather import Member, gather_nodes
from bertd.train.distributed.nodes.machine_facts import read_facts
from bertd.train.distributed.nodes.node_records import NodeOffer
from bertd.train.distributed.nodes.node_watch import NodeWatch
from bertd.train.distributed.nodes.reachability import ProbePort
from bertd.train.distributed.nodes.run_ranks import NodeRanks, run_node_ranks
from bertd.train.distributed.nodes.ssh_hosts import joining_hosts
from bertd.train.distributed.nodes.store import FIRST, MeetingKeys, open_own_store, serve_store

_LEAVE_S = 5.0
"""For the other machines to read how the attempt ended."""
_CAUSE_S = 3.0
"""For another machine to say why its ranks failed: those of this one notice it first."""
_POLL_S = 0.1


def launch_nodes(paths: RunPaths, recipe: Recipe, *, attempt: int) -> int:
    """Meet the other machines and run the ranks of this one to their end; return their exit status.

    Raises:
        DeviceError: the port is taken, or too few machines have come.
        RecipeError: the run folder's recipe is invalid.
        ShardError: the data set is missing, damaged or too small.
    """
    devices = recipe.devices
    store = serve_store(devices.port)
    keys = MeetingKeys(store)
    watch = NodeWatch(MeetingKeys(open_own_store(devices.port)), name=FIRST, others={})
    facts = read_facts(paths, devices)
    with ProbePort() as probe, joining_hosts(devices.hosts, port=devices.port):
        offer = NodeOffer(
            run_id=paths.root.name,
            attempt=attempt,
            recipe=paths.recipe.read_text(encoding="utf-8"),
            facts=facts,
            probe_port=probe.port,
        )
        keys.put_offer(offer)
        members = gather_nodes(devices, keys, watch, facts, wait=time.sleep)
        report_meeting()
        ranks = NodeRanks(
            run_folder=paths.root,
            run_id=paths.root.name,
            attempt=attempt,
            count=devices.count,
            node=0,
            num_nodes=len(members) + 1,
        )
        log_line(f"bertd: {len(members) + 1} of {devices.nodes} machines train")
        address = members[0].reply.first_address if members else "127.0.0.1"
        code = run_node_ranks(ranks, store, host="localhost", port=devices.port, address=address, watch=watch)
        if code == 0:
            watch.stop()
            _let_others_leave(paths, keys, members)
            return 0
        code = _report_cause(keys, watch, members, code=code, count=devices.count)
        watch.stop()
        return code


def _let_others_leave(paths: RunPaths, keys: MeetingKeys, members: Sequence[Member]) -> None:
    end = read_digest(paths.journal).end
    keys.put_ended(end.reason if isinstance(end, EndRecord) else "")
    deadline_s = time.monotonic() + _LEAVE_S
    while time.monotonic() < deadline_s:
        if all(keys.has_left(node) for node in range(1, len(members) + 1)):
            return
        time.sleep(_POLL_S)


def _report_cause(keys: MeetingKeys, watch: NodeWatch, members: Sequence[Member], *, code: int, count: int) -> int:
    """Report why another machine failed or that it was lost, if that is the cause; return the exit status."""
    if code != 1:
        return code
    board = os.environ.get(FAILURES_VARIABLE)
    deadline_s = time.monotonic() + _CAUSE_S
    while time.monotonic() < deadline_s:
        for node in range(1, len(members) + 1):
            if (failure := keys.read_failure(node)) is not None:
                message = f"{members[node - 1].reply.facts.host}: {failure.message}"
                report_failure(
                    board, rank=node * count, exit_code=failure.exit_code, code=failure.code, message=message
                )
                return failure.exit_code
        if watch.lost:
            report_failure(board, rank=count, exit_code=1, code="NodeLostError", message=watch.lost)
            return 1
        time.sleep(_POLL_S)
    return code

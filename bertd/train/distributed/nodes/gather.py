"""On the first machine: wait for the others, refuse those that do not fit, and number the rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bertd.errors import DeviceError
from bertd.run.log import log_line
from bertd.run.recipe.schema import DevicesSection
from bertd.train.distributed.nodes.node_records import NodeFacts, NodeReply, NodeVerdict, find_difference
from bertd.train.distributed.nodes.node_watch import LOST_S, NodeWatch
from bertd.train.distributed.nodes.reachability import can_reach
from bertd.train.distributed.nodes.store import MeetingKeys

JOIN_S = 600.0
"""For as many machines as the run needs."""
REJOIN_S = 30.0
"""For those that it can do without. Source: torchrun's last call."""
_LOOK_S = 0.1


@dataclass(frozen=True)
class Member:
    """A further machine of an attempt."""

    joiner: int
    """Its number in the store."""
    reply: NodeReply

    @property
    def name(self) -> str:
        """In the store, of its signs of life."""
        return str(self.joiner)


def gather_nodes(
    devices: DevicesSection, keys: MeetingKeys, watch: NodeWatch, facts: NodeFacts, *, wait: Callable[[float], None]
) -> list[Member]:
    """The further machines, in the order of their numbers from 1; each has got its verdict.

    Args:
        devices: of the recipe.
        keys: of the store.
        watch: gets the machines to watch.
        facts: of this machine.
        wait: sleeps.

    Raises:
        DeviceError: too few have come in JOIN_S.
    """
    began_s = time.monotonic()
    members: dict[int, Member] = {}
    answered: set[int] = set()
    log_line(f"bertd: waits for {devices.nodes - 1} more machines at port {devices.port}")
    while True:
        for joiner, reply in keys.read_replies(known=answered).items():
            answered.add(joiner)
            if refusal := _find_refusal(devices, facts, reply):
                log_line(f"bertd: {reply.facts.host} is refused: {refusal}")
                keys.put_verdict(joiner, NodeVerdict(refusal=refusal))
                continue
            log_line(f"bertd: {reply.facts.host} ({reply.address}) has joined")
            members[joiner] = Member(joiner, reply)
            watch.watch_quietly({str(joiner): reply.facts.host})
        members = {joiner: each for joiner, each in members.items() if watch.silence_s(each.name) < LOST_S}
        waited_s = time.monotonic() - began_s
        if len(members) >= devices.nodes - 1:
            break
        if len(members) + 1 >= devices.fewest_nodes and waited_s >= REJOIN_S:
            break
        if waited_s >= JOIN_S:
            raise DeviceError(
                f"[devices] nodes = {devices.nodes}: {len(members) + 1} machines have met in {JOIN_S / 60:.0f} min, "
                f"and {devices.fewest_nodes} are needed; start `bertd join` on the others, for port {devices.port} here"
            )
        wait(_LOOK_S)
    # By their names, so that the next attempt numbers them in the same way.
    chosen = sorted(members.values(), key=lambda each: (each.reply.facts.host, each.joiner))[: devices.nodes - 1]
    watch.watch({each.name: each.reply.facts.host for each in chosen})
    for node, each in enumerate(chosen, start=1):
        keys.put_verdict(each.joiner, NodeVerdict(node=node, num_nodes=len(chosen) + 1))
    return chosen


def _find_refusal(devices: DevicesSection, facts: NodeFacts, reply: NodeReply) -> str:
    host = reply.facts.host
    if reply.problem:
        return reply.problem
    if difference := find_difference(facts, reply.facts):
        return difference
    if reply.num_devices < devices.count:
        return f"{host} has {reply.num_devices} devices, and [devices] count = {devices.count}: lower it"
    if not can_reach(reply.address, reply.probe_port):
        return (
            f"{facts.host} does not reach {host} ({reply.address}) at port {reply.probe_port}: let the firewall "
            "between them pass all ports of net.ipv4.ip_local_port_range"
        )
    return ""

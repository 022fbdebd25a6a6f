"""What the exchange of gradients between machines takes, by the bandwidth of the network between them. Pure.

Each step sums the gradients over all machines: an all-reduce in a ring sends and receives 2 (n - 1) / n of them at each
machine. Within a machine that is part of the measured step. The exchange can overlap with the backward pass of the
step's last micro-batch alone, which is a small part of a step of many; so nothing is taken off for that, and a real run
is a little faster. docs/multi-node.md has the table that follows; tests/run/plan/test_network_model.py compares the
two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GRADIENT_BYTES = 4
"""Of each parameter: gradients are summed in fp32."""
NETWORK_SHARE = 0.85
"""Of the line rate that a long message gets: an assumption for InfiniBand and Ethernet with RDMA, not measured. Plain
TCP gets less from 100 Gbit/s on."""
LATENCY_S = 50e-6
"""Of each of the 2 (n - 1) stages of a ring, over TCP in one building."""
_RATE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[GM])(bit(/s)?|bps)?", re.IGNORECASE)


@dataclass(frozen=True)
class Network:
    """The slowest link between two machines."""

    bits_per_s: float

    def exchange_s(self, *, num_parameters: int, nodes: int) -> float:
        """Seconds of each step for the gradients of `nodes` machines."""
        if nodes == 1:
            return 0.0
        sent_bits = 8 * GRADIENT_BYTES * num_parameters * 2 * (nodes - 1) / nodes
        return sent_bits / (self.bits_per_s * NETWORK_SHARE) + 2 * (nodes - 1) * LATENCY_S


def parse_network(text: str) -> Network:
    """A network such as 25G or 400Gbit/s.

    Raises:
        ValueError: it is not one.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match["number"]) == 0:
        raise ValueError(f"{text!r}: give the bandwidth between two machines, such as 25G for 25 Gbit/s")
    factor = {"g": 1e9, "m": 1e6}[match["unit"].lower()]
    return Network(float(match["number"]) * factor)


def speed_over_network(speed: float, *, step_sequences: float, exchange_s: float) -> float:
    """Sequences per second with an exchange after each step.

    Args:
        speed: without it.
        step_sequences: of a step.
        exchange_s: for each step.
    """
    return step_sequences / (step_sequences / speed + exchange_s)

"""bertd.run.plan.network_model, and the table that docs/multi-node.md makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertd.run.plan.network_model import LATENCY_S, NETWORK_SHARE, Network, parse_network, speed_over_network

DOCS = Path(__file__).parents[3] / "docs" / "multi-node.md"
NUM_PARAMETERS = 336_000_000
STEP_SEQUENCES = 4096
BOX_SPEED = 16_000.0
"""Sequences per second of eight H200."""
NODES = (1, 2, 4, 8)


def test_two_machines_send_all_gradients_once() -> None:
    seconds = Network(8e9).exchange_s(num_parameters=1_000_000_000, nodes=2)
    assert seconds == pytest.approx(4 / NETWORK_SHARE + 2 * LATENCY_S)
    assert Network(8e9).exchange_s(num_parameters=1_000_000_000, nodes=1) == 0.0


def test_an_exchange_as_long_as_the_step_halves_the_speed() -> None:
    assert speed_over_network(100.0, step_sequences=50.0, exchange_s=0.5) == pytest.approx(50.0)
    assert speed_over_network(100.0, step_sequences=50.0, exchange_s=0.0) == 100.0


@pytest.mark.parametrize(("text", "rate"), [("25G", 25e9), ("400Gbit/s", 4e11), ("2.5 gbps", 2.5e9), ("100M", 1e8)])
def test_a_network_is_written_as_people_do(text: str, rate: float) -> None:
    assert parse_network(text).bits_per_s == rate


@pytest.mark.parametrize("text", ["25", "G", "0G", "fast", "25GB"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 25G"):
        parse_network(text)


def expected_cell(gbits: float, nodes: int) -> str:
    exchange_s = Network(gbits * 1e9).exchange_s(num_parameters=NUM_PARAMETERS, nodes=nodes)
    speed = speed_over_network(BOX_SPEED * nodes, step_sequences=STEP_SEQUENCES, exchange_s=exchange_s)
    return f"{speed:,.0f} ({speed / BOX_SPEED:.2f} x)"


def test_the_table_in_the_docs_is_that_of_the_model() -> None:
    rows = re.findall(r"^\| (\d+) Gbit/s \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert [int(gbits) for gbits, _ in rows] == [10, 25, 100, 400]
    for gbits, cells in rows:
        assert cells.split(" | ") == [expected_cell(float(gbits), nodes) for nodes in NODES]

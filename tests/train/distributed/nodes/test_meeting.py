"""How machines meet and lose each other, in one process: records, gathering, signs of life."""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from bertd.errors import DeviceError
from bertd.run.ranks.meeting import MEETING_VARIABLE, MeetingBoard, report_meeting
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import DevicesSection
from bertd.train.distributed import peer_watch
from bertd.train.distributed.nodes import gather, node_watch
from bertd.train.distributed.nodes.gather import gather_nodes
from bertd.train.distributed.nodes.node_records import NodeFacts, NodeReply, find_difference
from bertd.train.distributed.nodes.node_watch import BEAT_S, LOST_S, NodeWatch
from bertd.train.distributed.nodes.reachability import ProbePort, can_reach, find_addresses, find_interface
from bertd.train.distributed.nodes.ssh_hosts import ssh_command
from bertd.train.distributed.nodes.store import FIRST, MeetingKeys, connect_store, open_own_store, serve_store
from tests.waiting import wait_for

FACTS = NodeFacts(
    host="a",
    bertd="1",
    source_sha256="s",
    python="3.11",
    packages={"torch": "2.13.0", "numpy": "2.0"},
    device="NVIDIA H200",
    data_fingerprint="d",
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bertd": "2"}, "bertd is 2 on b and 1 on a"),
        ({"source_sha256": "t"}, "has other files"),
        ({"python": "3.12"}, "Python is 3.12 on b and 3.11 on a"),
        ({"packages": {"torch": "2.12.0", "numpy": "2.0"}}, "torch is 2.12.0 on b and 2.13.0 on a"),
        ({"packages": {"torch": "2.13.0"}}, "numpy is not installed on b and 2.0 on a"),
        ({"device": "NVIDIA A100"}, "b has NVIDIA A100, a NVIDIA H200"),
        ({"data_fingerprint": "e"}, "bertd join --data FOLDER"),
    ],
)
def test_a_difference_is_named(change: dict[str, object], words: str) -> None:
    assert words in find_difference(FACTS, FACTS.model_copy(update={"host": "b", **change}))


def test_machines_may_differ_in_their_names_alone() -> None:
    assert find_difference(FACTS, FACTS.model_copy(update={"host": "b"})) == ""


def free_port() -> int:
    with ProbePort() as probe:
        return probe.port


class Meeting:
    """A store, and the first machine's side of it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.keys = MeetingKeys(serve_store(self.port))
        self.watch = NodeWatch(MeetingKeys(open_own_store(self.port)), name=FIRST, others={})
        self.probe = ProbePort()

    def reply(self, *, host: str = "b", devices: int = 8, problem: str = "", port: int | None = None) -> int:
        """Another machine answers."""
        reply = NodeReply(
            facts=FACTS.model_copy(update={"host": host}),
            num_devices=devices,
            first_address="127.0.0.1",
            address="127.0.0.1",
            probe_port=self.probe.port if port is None else port,
            problem=problem,
        )
        return self.keys.put_reply(reply)

    def gather(self, section: DevicesSection) -> list[str]:
        found = gather_nodes(section, self.keys, self.watch, FACTS, wait=time.sleep)
        return [member.reply.facts.host for member in found]


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    meeting = Meeting()
    yield meeting
    # Otherwise it takes the end of the store for a loss, and ends this process.
    meeting.watch.stop()
    meeting.probe.close()


def test_machines_are_numbered_by_their_names(meeting: Meeting) -> None:
    joiners = {host: meeting.reply(host=host) for host in ("c", "b")}
    assert meeting.gather(DevicesSection(count=8, nodes=3)) == ["b", "c"]
    verdicts = {host: meeting.keys.read_verdict(joiner) for host, joiner in joiners.items()}
    assert {host: verdict and (verdict.node, verdict.num_nodes) for host, verdict in verdicts.items()} == {
        "b": (1, 3),
        "c": (2, 3),
    }


def test_a_machine_that_does_not_fit_is_refused_and_the_others_train(
    meeting: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "REJOIN_S", 0.0)
    refused = {
        meeting.reply(devices=4): "has 4 devices, and [devices] count = 8",
        meeting.reply(problem="no data"): "no data",
        meeting.reply(port=free_port()): "does not reach b (127.0.0.1)",
    }
    assert meeting.gather(DevicesSection(count=8, nodes=2, min_nodes=1)) == []
    for joiner, words in refused.items():
        verdict = meeting.keys.read_verdict(joiner)
        assert verdict is not None and words in verdict.refusal


def test_too_few_machines_are_an_error_with_the_remedy(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "JOIN_S", 0.0)
    with pytest.raises(DeviceError, match="1 machines have met .* 2 are needed; start `bertd join`"):
        meeting.gather(DevicesSection(count=8, nodes=2))


def test_a_lost_machine_is_noticed_within_ten_seconds() -> None:
    # A beat that was just sent, the silence that is allowed, a look, and the grace of the ranks.
    assert BEAT_S + LOST_S + node_watch._LOOK_S + peer_watch._GRACE_S < 10


def test_a_silent_machine_closes_the_pipe_of_the_ranks(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_watch, "LOST_S", 0.2)
    watch = NodeWatch(MeetingKeys(open_own_store(meeting.port)), name="1", others={"2": "machine-b"})
    reader = os.open(watch.path, os.O_RDONLY)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    wait_for(lambda: bool(poll.poll(0)), what="the pipe's end")
    assert watch.lost.startswith("machine-b was lost")
    watch.stop()
    os.close(reader)


def test_a_machine_that_beats_is_not_lost(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    other = NodeWatch(MeetingKeys(open_own_store(meeting.port)), name="2", others={})
    watch = NodeWatch(MeetingKeys(open_own_store(meeting.port)), name="1", others={"2": "machine-b"})
    wait_for(lambda: meeting.keys.read_beats("1") > 2, what="some beats")
    assert watch.lost == "" and watch.silence_s("2") < LOST_S
    for each in (watch, other):
        each.stop()


def test_the_port_of_another_run_is_an_error(meeting: Meeting) -> None:
    with pytest.raises(DeviceError, match=rf"port = {meeting.port}: cannot listen there.*choose another port"):
        serve_store(meeting.port)


def test_nobody_listens_where_no_run_waits() -> None:
    assert connect_store("127.0.0.1", free_port()) is None


def test_addresses_and_interfaces_are_those_of_the_connection() -> None:
    with ProbePort() as probe:
        assert can_reach("127.0.0.1", probe.port)
        assert find_addresses("127.0.0.1", probe.port) == ("127.0.0.1", "127.0.0.1")
    assert find_interface("127.0.0.1") == "lo"
    assert find_interface("192.0.2.1") is None


def test_the_meeting_is_reported_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    board = MeetingBoard()
    monkeypatch.setenv(MEETING_VARIABLE, board.path)
    assert board.read_met_s() is None
    before_s = time.monotonic()
    thread = threading.Thread(target=report_meeting)
    thread.start()
    thread.join()
    met_s = board.read_met_s()
    assert met_s is not None and before_s - 1e-3 <= met_s <= time.monotonic()
    board.close()


def test_ssh_gets_no_option_from_a_hosts_name() -> None:
    command = ssh_command("ada@b", port=29_400)
    assert command[0] == "ssh" and command[-2] == "ada@b"
    assert 'join "${SSH_CONNECTION%% *}" --port 29400 --once' in command[-1]
    recipe = '[run]\nname = "a"\n[budget]\nsteps = 1\n[data]\nshards = "/d"\n[devices]\nnodes = 2\nhosts = {}\n'
    with pytest.raises(Exception, match="hosts"):
        parse_recipe(recipe.format(json.dumps(["-oProxyCommand=x"])), name="r")


def test_the_machines_of_a_recipe_are_checked_together() -> None:
    text = '[run]\nname = "a"\n[budget]\nsteps = 1\n[data]\nshards = "/d"\n[devices]\n'
    for keys, words in (
        ("nodes = 2\nmin_nodes = 3", "min_nodes = 3 is more than nodes = 2"),
        ('nodes = 3\nhosts = ["b"]', "hosts names 1 machines besides the first"),
        ("count = 1\nnodes = 3\nmin_nodes = 1\n[batch]\nsequences = 64\nmicro = 32", "rows empty"),
    ):
        with pytest.raises(Exception, match=words):
            parse_recipe(text + keys, name="r")
    recipe = parse_recipe(text + "count = 4\nnodes = 2\nmin_nodes = 1", name="r")
    assert (recipe.devices.num_ranks, recipe.granted.num_devices) == (8, 8)

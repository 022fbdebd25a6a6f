"""`python -m bertd.train.distributed.nodes.join HOST --port N`: take part in one attempt of a run of another machine.

`bertd join` calls it again for the next attempt. Exit status: 0 if the run is over; JOIN_AGAIN after an attempt,
however it ended; that of the BertdError class if this machine was refused.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import tomli_w

from bertd.errors import BertdError, DeviceError
from bertd.program import run_main
from bertd.run.machine.child_processes import die_with_parent
from bertd.run.paths import RunPaths
from bertd.run.ranks.join_status import JOIN_AGAIN
from bertd.run.ranks.rank_failures import FAILURES_VARIABLE, FailureBoard
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import DevicesSection
from bertd.train.distributed.launch import extend_shutdown_timeout
from bertd.train.distributed.nodes.machine_facts import count_devices, read_facts
from bertd.train.distributed.nodes.node_records import NodeFacts, NodeFailure, NodeOffer, NodeReply, NodeVerdict
from bertd.train.distributed.nodes.node_watch import NodeWatch
from bertd.train.distributed.nodes.reachability import ProbePort, can_reach, find_addresses
from bertd.train.distributed.nodes.run_ranks import NodeRanks, run_node_ranks
from bertd.train.distributed.nodes.store import FIRST, MeetingKeys, connect_store

_POLL_S = 0.2


def main() -> int:
    """Parse the command line, and take part."""
    parser = argparse.ArgumentParser(prog="python -m bertd.train.distributed.nodes.join", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="folder of the data set on this machine")
    parser.add_argument("--scratch", type=Path, help="folder for the checkpoint that an attempt begins with")
    parser.add_argument("--run", help="id of the run that is expected")
    args = parser.parse_args()
    die_with_parent()
    extend_shutdown_timeout()
    return _Joining(args).join()


class _Joining:
    """One attempt."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args

    def join(self) -> int:
        args = self._args
        store = connect_store(args.host, args.port)
        if store is None:
            return JOIN_AGAIN
        keys = MeetingKeys(store)
        watched = connect_store(args.host, args.port)
        if watched is None:
            return JOIN_AGAIN
        try:
            offer = keys.read_offer()
            if args.run is not None and offer.run_id != args.run:
                raise DeviceError(f"{args.host}:{args.port}: is of the run {offer.run_id}, not of {args.run}")
            with tempfile.TemporaryDirectory(prefix="bertd-join-", dir=args.scratch) as scratch, ProbePort() as probe:
                folder = Path(scratch) / offer.run_id
                return self._take_part(keys, MeetingKeys(watched), offer, RunPaths(folder), probe)
        except RuntimeError as error:
            # Of the store: the first machine has gone.
            print(f"bertd: {args.host}:{args.port}: {str(error).partition(chr(10))[0]}", file=sys.stderr, flush=True)
            return JOIN_AGAIN

    def _take_part(
        self, keys: MeetingKeys, watch_keys: MeetingKeys, offer: NodeOffer, paths: RunPaths, probe: ProbePort
    ) -> int:
        args = self._args
        paths.checkpoints.mkdir(parents=True)
        recipe = parse_recipe(offer.recipe, name=offer.run_id)
        paths.recipe.write_text(_with_data(offer.recipe, args.data), encoding="utf-8")
        problem: BertdError | None = None
        try:
            facts = read_facts(paths, recipe.devices)
        except BertdError as error:
            problem, facts = error, offer.facts.model_copy(update={"host": os.uname().nodename})
        try:
            address, first_address = find_addresses(args.host, args.port)
        except OSError:
            return JOIN_AGAIN
        if problem is None and not can_reach(first_address, offer.probe_port):
            problem = DeviceError(
                f"{first_address} is not reached at port {offer.probe_port}: let the firewall between the machines "
                "pass all ports of net.ipv4.ip_local_port_range"
            )
        joiner = keys.put_reply(
            _reply(facts, recipe.devices, problem, address=address, first_address=first_address, probe=probe)
        )
        if problem is not None:
            raise problem
        watch = NodeWatch(watch_keys, name=str(joiner), others={FIRST: offer.facts.host})
        verdict = _await_verdict(keys, joiner, watch)
        if verdict is None:
            return JOIN_AGAIN
        if verdict.refusal:
            raise DeviceError(verdict.refusal)
        ranks = NodeRanks(
            run_folder=paths.root,
            run_id=offer.run_id,
            attempt=offer.attempt,
            count=recipe.devices.count,
            node=verdict.node,
            num_nodes=verdict.num_nodes,
        )
        print(
            f"bertd: {offer.run_id}, attempt {offer.attempt}: machine {verdict.node + 1} of {verdict.num_nodes} trains",
            flush=True,
        )
        return self._run(keys, ranks, address=address, watch=watch)

    def _run(self, keys: MeetingKeys, ranks: NodeRanks, *, address: str, watch: NodeWatch) -> int:
        args, failures = self._args, FailureBoard()
        os.environ[FAILURES_VARIABLE] = failures.path
        code = run_node_ranks(ranks, keys.store, host=args.host, port=args.port, address=address, watch=watch)
        watch.stop()
        if code == 0:
            is_over = bool(keys.read_ended())
            keys.leave(ranks.node)
            return 0 if is_over else JOIN_AGAIN
        failure = failures.first(exit_code=code)
        if not watch.lost and (failure is not None or code != 1):
            message = f"a rank ended with status {code}" if failure is None else failure.message
            with suppress(RuntimeError):
                error_name = "RankFailedError" if failure is None else failure.code
                keys.put_failure(ranks.node, NodeFailure(exit_code=code, code=error_name, message=message))
        return JOIN_AGAIN


def _reply(
    facts: NodeFacts,
    devices: DevicesSection,
    problem: BertdError | None,
    *,
    address: str,
    first_address: str,
    probe: ProbePort,
) -> NodeReply:
    return NodeReply(
        facts=facts,
        num_devices=count_devices(devices),
        first_address=first_address,
        address=address,
        probe_port=probe.port,
        problem="" if problem is None else str(problem),
    )


def _await_verdict(keys: MeetingKeys, joiner: int, watch: NodeWatch) -> NodeVerdict | None:
    """What the first machine decides; None if it has gone, or goes on without this one."""
    while not watch.lost:
        if (verdict := keys.read_verdict(joiner)) is not None:
            return verdict
        time.sleep(_POLL_S)
    return None


def _with_data(recipe: str, folder: Path | None) -> str:
    """The recipe with the data set's folder on this machine."""
    if folder is None:
        return recipe
    tree = tomllib.loads(recipe)
    tree["data"]["shards"] = str(folder.absolute())
    return tomli_w.dumps(tree)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    status = run_main(main, is_logged=True)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the connections to the store would be closed in an order that torch complains of.
    os._exit(status)

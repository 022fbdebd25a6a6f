"""The c10d store of an attempt, and the keys in it; no other module spells them."""

from __future__ import annotations

import socket
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch exports it so

from bertd.errors import DeviceError
from bertd.train.distributed.nodes.node_records import NodeFailure, NodeOffer, NodeReply, NodeVerdict

CONNECT_S = 5.0
_OPERATION = timedelta(seconds=60)
"""For what is there already, or comes at once."""
FIRST = "first"
"""Name of the first machine's signs of life; the others have numbers."""
_OFFER, _IDS, _ENDED = "bertd/offer", "bertd/ids", "bertd/ended"


def serve_store(port: int) -> TCPStore:
    """Open the store on the first machine.

    Raises:
        DeviceError: the port is taken.
    """
    try:
        # It listens on all addresses of the machine; this one is for its own client.
        return TCPStore("localhost", port, is_master=True, timeout=_OPERATION, wait_for_workers=False)
    except (RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DeviceError(f"[devices] port = {port}: cannot listen there: {reason}; choose another port") from error


def open_own_store(port: int) -> TCPStore:
    """Another connection to the store of this machine."""
    return TCPStore("localhost", port, is_master=False, timeout=_OPERATION, wait_for_workers=False)


def connect_store(host: str, port: int) -> TCPStore | None:
    """Open the store of another machine; None if nobody listens there."""
    try:
        # Before TCPStore, which would try again and again, and print that.
        socket.create_connection((host, port), timeout=CONNECT_S).close()
        return TCPStore(host, port, is_master=False, timeout=timedelta(seconds=2 * CONNECT_S), wait_for_workers=False)
    except (RuntimeError, OSError):
        return None


class MeetingKeys:
    """Reads and writes what the machines tell each other."""

    def __init__(self, store: TCPStore) -> None:
        self.store = store

    def put_offer(self, offer: NodeOffer) -> None:
        """Of the first machine."""
        self.store.set(_OFFER, offer.model_dump_json())

    def read_offer(self) -> NodeOffer:
        """Wait for it, for the store's timeout."""
        return NodeOffer.model_validate_json(self.store.get(_OFFER))

    def put_reply(self, reply: NodeReply) -> int:
        """Answer, and return the number under which the verdict will be."""
        joiner = int(self.store.add(_IDS, 1))
        self.store.set(f"bertd/reply/{joiner}", reply.model_dump_json())
        return joiner

    def read_replies(self, *, known: set[int]) -> dict[int, NodeReply]:
        """The replies by number that are not known yet."""
        numbers = [number for number in range(1, int(self.store.add(_IDS, 0)) + 1) if number not in known]
        keys = {number: f"bertd/reply/{number}" for number in numbers}
        return {
            number: NodeReply.model_validate_json(self.store.get(key))
            for number, key in keys.items()
            if self.store.check([key])
        }

    def put_verdict(self, joiner: int, verdict: NodeVerdict) -> None:
        self.store.set(f"bertd/verdict/{joiner}", verdict.model_dump_json())

    def read_verdict(self, joiner: int) -> NodeVerdict | None:
        """None if it is not decided yet."""
        key = f"bertd/verdict/{joiner}"
        return NodeVerdict.model_validate_json(self.store.get(key)) if self.store.check([key]) else None

    def beat(self, name: str) -> None:
        """Give a sign of life."""
        self.store.add(f"bertd/alive/{name}", 1)

    def read_beats(self, name: str) -> int:
        """How many there were; it changes while the other lives."""
        return int(self.store.add(f"bertd/alive/{name}", 0))

    def put_ended(self, text: str) -> None:
        """That the ranks have ended well; `text` if the run is over, empty if it has paused."""
        self.store.set(_ENDED, text or "-")

    def read_ended(self) -> str:
        """Wait for `put_ended`, for the store's timeout."""
        text = self.store.get(_ENDED).decode()
        return "" if text == "-" else text

    def leave(self, node: int) -> None:
        """Say that this machine needs the store no longer."""
        self.store.set(f"bertd/left/{node}", "1")

    def has_left(self, node: int) -> bool:
        return bool(self.store.check([f"bertd/left/{node}"]))

    def put_failure(self, node: int, failure: NodeFailure) -> None:
        """Why the ranks of a machine failed."""
        self.store.set(f"bertd/failure/{node}", failure.model_dump_json())

    def read_failure(self, node: int) -> NodeFailure | None:
        """None if there is none."""
        key = f"bertd/failure/{node}"
        return NodeFailure.model_validate_json(self.store.get(key)) if self.store.check([key]) else None

"""Notice within ten seconds that another machine of the run is lost, and have the ranks of this one exit.

A connection of which nothing comes back, as after a power cut or behind a broken switch, looks idle for many minutes
to the kernel, gloo and NCCL. So the launchers count up a number each second in the store. One thread writes and reads,
and may hang; the other one judges by what the first has seen. The ranks of this machine learn of it by a pipe whose end
closes; bertd.train.distributed.peer_watch watches it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping

from bertd.train.distributed.nodes.store import MeetingKeys

BEAT_S = 1.0
LOST_S = 6.0
"""Without a sign of life. With the time between two looks, and the grace of the ranks, the runner knows of it within
ten seconds."""
_LOOK_S = 0.25
_END_S = 45.0
"""For the ranks to exit by themselves, 28 s of which are for a save in progress; then this process and they end."""


class NodeWatch:
    """Gives signs of life of this machine, and watches those of others."""

    def __init__(self, keys: MeetingKeys, *, name: str, others: Mapping[str, str]) -> None:
        """Begin.

        Args:
            keys: over a connection that only this watch uses, which may hang.
            name: of this machine in the store.
            others: hosts by their names in the store.
        """
        self._keys, self._name = keys, name
        self._lock = threading.Lock()
        self._others = dict(others)
        self._candidates: dict[str, str] = {}
        self._seen_s = {name: time.monotonic() for name in others}
        self._beats: dict[str, int] = {}
        self._stopped = threading.Event()
        self.lost = ""
        """Which machine was lost, as text; empty while none is."""
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        for target in (self._exchange, self._judge):
            threading.Thread(target=target, name=f"node-watch-{target.__name__}", daemon=True).start()

    @property
    def path(self) -> str:
        """Of the pipe, for the ranks of this machine."""
        return f"/proc/{os.getpid()}/fd/{self._read_end}"

    def watch(self, others: Mapping[str, str]) -> None:
        """Watch these from here on."""
        with self._lock:
            self._others, self._candidates = dict(others), {}
            self._seen_s |= {name: time.monotonic() for name in others if name not in self._seen_s}

    def watch_quietly(self, others: Mapping[str, str]) -> None:
        """Look for signs of life of these, too; they may still go."""
        with self._lock:
            self._candidates |= others
            self._seen_s |= {name: time.monotonic() for name in others}

    def silence_s(self, name: str) -> float:
        """Seconds since the last sign of life of one that is watched."""
        with self._lock:
            return time.monotonic() - self._seen_s[name]

    def stop(self) -> None:
        """Others may go from here on."""
        self._stopped.set()

    def _exchange(self) -> None:
        while not self._stopped.wait(BEAT_S):
            try:
                self._keys.beat(self._name)
                with self._lock:
                    names = [*self._others, *self._candidates]
                for name in names:
                    beats = self._keys.read_beats(name)
                    if beats != self._beats.get(name):
                        self._beats[name] = beats
                        with self._lock:
                            self._seen_s[name] = time.monotonic()
            except RuntimeError:
                # The store is in the first machine's launcher.
                self._report_lost("the first machine has ended the attempt")
                return

    def _judge(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            now_s = time.monotonic()
            with self._lock:
                silent = [name for name in self._others if now_s - self._seen_s[name] > LOST_S]
                hosts = [self._others[name] for name in silent]
            if hosts:
                self._report_lost(f"{' and '.join(hosts)} was lost: no sign of life for {LOST_S:.0f} s")
                return

    def _report_lost(self, what: str) -> None:
        with self._lock:
            if self._stopped.is_set() or self.lost:
                return
            self.lost = what
        print(f"bertd: {what}", file=sys.stderr, flush=True)
        os.close(self._write_end)
        if not self._stopped.wait(_END_S):
            print(f"bertd: the ranks have not exited for {_END_S:.0f} s; they are killed", file=sys.stderr, flush=True)
            os._exit(1)

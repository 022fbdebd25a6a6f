"""A switch between network namespaces, in a thread, that can delay or lose what it passes on, and take a cable away.

In user space, since not every kernel has netem. Each machine has a tap device, whose other end is here. A frame goes to
all other machines, whose kernels drop what is not theirs.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import threading
import time

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME_BYTES = 65_536
_CLONE_NEWNET = 0x40000000
_LOOK_S = 0.05
DEVICE = "eth0"


class SlowSwitch:
    """Passes frames on until it is closed."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """Of each frame."""
        self.loss = 0.0
        """Share of the frames that is lost."""
        self.cut: set[str] = set()
        """Namespaces without a cable."""
        self._taps: dict[str, int] = {}
        self._luck = random.Random(0)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, name="slow-switch", daemon=True)

    def connect(self, namespace: str) -> None:
        """Give it a device; before `start`."""
        opened: list[int] = []
        # A namespace is entered by a thread, which ends in it.
        thread = threading.Thread(target=lambda: opened.append(_open_tap(namespace)))
        thread.start()
        thread.join()
        (self._taps[namespace],) = opened

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread, and remove the devices."""
        self._is_closed.set()
        self._thread.join()
        for fd in self._taps.values():
            os.close(fd)

    def _pass_on(self) -> None:
        names = {fd: name for name, fd in self._taps.items()}
        waiting: list[tuple[float, int, str, bytes]] = []
        numbers = itertools.count()
        while not self._is_closed.is_set():
            timeout_s = _LOOK_S if not waiting else min(_LOOK_S, max(0.0, waiting[0][0] - time.monotonic()))
            ready, _, _ = select.select([*names], [], [], timeout_s)
            for fd in ready:
                frame = os.read(fd, _FRAME_BYTES)
                if names[fd] not in self.cut and self._luck.random() >= self.loss:
                    heapq.heappush(waiting, (time.monotonic() + self.delay_s, next(numbers), names[fd], frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, source, frame = heapq.heappop(waiting)
                self._deliver(frame, source=source)

    def _deliver(self, frame: bytes, *, source: str) -> None:
        for name, fd in self._taps.items():
            if name == source or name in self.cut:
                continue
            try:
                os.write(fd, frame)
            except OSError:
                # A device that is down, or whose queue is full, loses it, as a real one.
                continue


def _open_tap(namespace: str) -> int:
    """The device DEVICE in the namespace; what is written here arrives there. For a thread that ends then.

    Raises:
        OSError: the namespace cannot be entered.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(there, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns", namespace)
    os.close(there)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TAP | _IFF_NO_PI))
    return fd

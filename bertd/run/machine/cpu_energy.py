"""The energy of the CPU's packages, as the kernel reads it by RAPL; on most systems root alone may read it.

Source: Linux, Documentation/power/powercap/powercap.rst.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path("sys/class/powercap")


class CpuEnergy:
    """Joules of all packages since this was made; a counter that begins again at its range is continued."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`root`: what stands for / in a test."""
        self._zones = [
            zone
            for zone in sorted((root / _FOLDER).glob("intel-rapl:*"))
            # A package's own zones, such as intel-rapl:0:1, are parts of it.
            if zone.name.count(":") == 1 and (_read(zone / "name") or "").startswith("package")
        ]
        self._last_uj = {zone: value for zone in self._zones if (value := _read_number(zone / "energy_uj")) is not None}
        self._sum_uj = 0

    @property
    def is_readable(self) -> bool:
        """Whether every package can be read: a part of them would pass for all."""
        return bool(self._zones) and len(self._last_uj) == len(self._zones)

    def read_j(self) -> float | None:
        """Joules since this was made; None where they cannot be read."""
        if not self.is_readable:
            return None
        for zone, before_uj in self._last_uj.items():
            now_uj = _read_number(zone / "energy_uj")
            if now_uj is None:
                return None
            if now_uj < before_uj:
                range_uj = _read_number(zone / "max_energy_range_uj")
                if range_uj is None or range_uj < before_uj:
                    # How far it had counted is unknown. It is counted on from here.
                    self._last_uj[zone] = now_uj
                    return None
                before_uj -= range_uj
            self._sum_uj += now_uj - before_uj
            self._last_uj[zone] = now_uj
        return self._sum_uj / 1e6


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _read_number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text is not None and text.isdigit() else None

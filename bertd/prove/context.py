"""What a step is given, and where it says what it found."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path

from bertd.prove.results import Check, Figure, StepFindings, Verdict, write_findings
from bertd.prove.run_step import ProofOptions

_TINY_TURN_S = 0.02


class StepContext:
    """Keeps a step's findings; each is on the disk when the call returns."""

    def __init__(self, options: ProofOptions, *, path: Path, seconds: float) -> None:
        """`seconds` is how long the step may take."""
        self.options = options
        self._path = path
        self._deadline_s = time.monotonic() + seconds
        self.findings = StepFindings()

    @property
    def is_tiny(self) -> bool:
        return self.options.is_tiny

    @property
    def is_cuda(self) -> bool:
        return self.options.device == "cuda"

    @property
    def work(self) -> Path:
        """Folder for what the proof makes: gone at its end."""
        folder = self.options.out / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def left_s(self) -> float:
        """Seconds until the step is ended."""
        return self._deadline_s - time.monotonic()

    def turn_s(self, *, share: float, turns: int, most: float) -> float:
        """Seconds for each of so many measurements that may take a share of the time left; a moment with --tiny."""
        return _TINY_TURN_S if self.is_tiny else max(_TINY_TURN_S, min(most, share * self.left_s() / turns))

    def check(self, name: str, is_right: bool, detail: str) -> None:
        """Record that something is right or wrong."""
        self._add_check(name, Verdict.PASS if is_right else Verdict.FAIL, detail)

    def skip(self, name: str, reason: str) -> None:
        """Record that something was not checked."""
        self._add_check(name, Verdict.SKIPPED, reason)

    def attempt(self, name: str, part: Callable[[], None]) -> None:
        """Run a part of the step; where it raises, that is a failed check and the other parts are still run."""
        try:
            part()
        except Exception as error:
            # The edge of a part: what a kernel, a driver or the disk may raise is what is being looked for.
            traceback.print_exc()
            lines = str(error).strip().splitlines()
            self.check(name, False, f"{type(error).__name__}: {lines[0] if lines else ''}")

    def measure(self, key: str, name: str, value: float, unit: str, detail: str = "") -> None:
        """Record a figure, in the place of an earlier one of that key."""
        figure = Figure(key=key, name=name, value=value, unit=unit, detail=detail)
        figures = {each.key: each for each in self.findings.figures}
        self._write(figures=list({**figures, key: figure}.values()))

    def state(self, name: str, fact: str) -> None:
        """Record a fact, such as a version."""
        self._write(facts={**self.findings.facts, name: fact})

    def skip_all(self, reason: str) -> None:
        """Record that the whole step says nothing here."""
        self._write(skipped_reason=reason)

    def stop_proof(self, reason: str) -> None:
        """Record that no later step can say anything."""
        self._write(stops_proof=reason)

    def finish(self) -> None:
        """Record that the step came to its end."""
        self._write(is_finished=True)

    def _add_check(self, name: str, verdict: Verdict, detail: str) -> None:
        print(f"{verdict}: {name}: {detail}", flush=True)
        self._write(checks=[*self.findings.checks, Check(name=name, verdict=verdict, detail=detail)])

    def _write(self, **changes: object) -> None:
        self.findings = self.findings.model_copy(update=changes)
        write_findings(self._path, self.findings)

"""The real daemon over runners with fake compute: `python -m tests.daemon.fake_daemon STATE SOCKET PLAN.json [--keep]`.

With `--stand-in` it has eight simulated GPUs; `--hang-s N` is after how long one that hangs is given up. SOCKET may be
`-` for the default. It waits for its clients longer than they for it: a test may be as slow as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pynvml

from bertd.daemon.api import connections, event_stream
from bertd.daemon.configuration.sources import ConfigurationSources, Value
from bertd.daemon.service import serve
from bertd.daemon.telemetry import gpu_sampler
from bertd.errors import BertdError
from bertd.records import JobKind
from tests.daemon.file_driven_cards import FileDrivenNvml
from tests.waiting import PATIENCE_S

STATE, SOCKET, PLAN = sys.argv[1:4]


def runner(folder: Path, kind: JobKind) -> list[str]:
    """The real runner over fakes."""
    return [sys.executable, "-m", "tests.jobs.fake_runner", PLAN, str(folder), kind]


def sources() -> ConfigurationSources:
    """Not those of the person who runs the tests."""
    options: dict[str, Value] = {"daemon.state_dir": STATE}
    if "--keep" in sys.argv:
        options["daemon.keep_running_on_stop"] = True
    return ConfigurationSources(folders=(Path(STATE).with_name("configuration"),), options=options)


if __name__ == "__main__":
    connections.HEADER_TIMEOUT_S = connections.BODY_TIMEOUT_S = event_stream.STALL_TIMEOUT_S = 10 * PATIENCE_S
    try:
        socket = None if SOCKET == "-" else Path(SOCKET)
        if "--hang-s" in sys.argv:
            gpu_sampler.HANG_S = float(sys.argv[sys.argv.index("--hang-s") + 1])
        nvml = FileDrivenNvml(Path(STATE).parent) if "--stand-in" in sys.argv else pynvml
        sys.exit(serve(sources(), socket=socket, runner=runner, nvml=nvml))
    except BertdError as error:
        print(f"bertd: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

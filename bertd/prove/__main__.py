"""`bertd prove --out FOLDER`: proves a box, or shows what is wrong with it, in about ten minutes.

Each step is a process of its own with a deadline (plan.py). After each of them proof.md and proof.json are written
again, so that whatever ends the proof early keeps what was done. This process imports no torch: a crash in CUDA ends a
step, not the proof.

    FOLDER/proof.md, proof.json       what was found
    FOLDER/steps/NAME.json            each step's own findings, written as it goes
    FOLDER/logs/NAME.log              what it printed
    FOLDER/trace.json.gz              an update's kernels in time, for https://ui.perfetto.dev
    FOLDER/compiler-cache             carry it to the next proof, which then compiles nothing
    FOLDER/work                       data set and runs; removed at the end

Exit status: 0 where no step failed, 1 where one did, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from bertd.errors import DeviceError
from bertd.program import run_main
from bertd.prove.packages import NEEDED, find_missing


def main() -> int:
    """Run the proof."""
    args = _parser().parse_args()
    # Also between two steps: both files are as the step before left them.
    return run_main(
        lambda: _prove(args), interrupted=f"bertd: interrupted; {args.out / 'proof.md'} has what was done until then"
    )


def _prove(args: argparse.Namespace) -> int:
    require_packages()
    # Only after the check: psutil and pydantic may be what is missing.
    from bertd.prove.prove import prove
    from bertd.prove.run_step import ProofOptions

    # Whoever ends it with SIGTERM wants what was done, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return prove(ProofOptions(out=args.out.absolute(), device=args.device, is_tiny=args.tiny, minutes=args.minutes))


def require_packages() -> None:
    """Name all that is missing at once.

    Raises:
        DeviceError: something is.
    """
    if missing := find_missing(NEEDED):
        raise DeviceError(f"this Python lacks {', '.join(missing)}; pip install {' '.join(missing)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bertd prove", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where everything is written")
    parser.add_argument("--minutes", type=float, default=10.0, help="in which it must be done (10)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="what is proven (cuda)")
    parser.add_argument("--tiny", action="store_true", help="the same on a tiny model: tries the proof, not the box")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bertd.prove.steps NAME --out FOLDER ...`: one step; the parent starts it, and kills it at its deadline."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from bertd.program import run_main
from bertd.prove.context import StepContext
from bertd.prove.plan import STEPS
from bertd.prove.run_step import ProofOptions, findings_path
from bertd.run.machine.child_processes import die_with_parent


def main() -> int:
    """Run the step."""
    parser = argparse.ArgumentParser(prog="python -m bertd.prove.steps", description=__doc__)
    parser.add_argument("name", choices=[step.name for step in STEPS])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    parser.add_argument("--seconds", type=float, required=True, help="until it is killed")
    parser.add_argument("--parent", type=int, help="pid that started it")
    parser.add_argument("--core", type=int, help="the only one that it may use")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    die_with_parent(args.parent)
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    return run_main(lambda: _run_step(args), is_logged=True)


def _run_step(args: argparse.Namespace) -> None:
    context = StepContext(
        ProofOptions(out=args.out, device=args.device, is_tiny=args.tiny, minutes=0.0),
        path=findings_path(args.out, args.name),
        seconds=args.seconds,
    )
    importlib.import_module(f"bertd.prove.steps.{args.name}").prove(context)
    context.finish()


if __name__ == "__main__":
    sys.exit(main())

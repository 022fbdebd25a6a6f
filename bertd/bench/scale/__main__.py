"""`python -m bertd.bench.scale`: what large data and several machines cost, beside their limits; `make bench-scale`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from bertd.bench.scale.figures import ScaleFigure
from bertd.bench.scale.machines_speed import measure_machines
from bertd.bench.scale.ray_speed import measure_ray
from bertd.bench.scale.run_start import measure_start
from bertd.bench.scale.sampler_speed import measure_sampler
from bertd.program import run_main

_PARTS: dict[str, Callable[[], list[ScaleFigure]]] = {
    "sampler": measure_sampler,
    "start": measure_start,
    "ray": measure_ray,
    "machines": measure_machines,
}


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    parser = argparse.ArgumentParser(prog="python -m bertd.bench.scale", description=__doc__)
    parser.add_argument("--part", action="append", choices=[*_PARTS], help="only this part; may be repeated")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a limit is missed")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return run_main(lambda: _measure(parser.parse_args(argv)))


def _measure(args: argparse.Namespace) -> int:
    figures = []
    for name in args.part or [*_PARTS]:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures += _PARTS[name]()
    if args.json:
        print(json.dumps([asdict(each) | {"is_missed": each.is_missed} for each in figures]))
    else:
        print("\n".join(each.line() for each in figures))
    return int(args.strict and any(each.is_missed for each in figures))


if __name__ == "__main__":
    sys.exit(main())

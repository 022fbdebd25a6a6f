"""`python -m bertd.bench.glue --data GLUE`: finetuning by bertd beside a stock transformers.Trainer script.

quality: the same scores from the same encoder, which was not trained, within the spread of the seeds. speed: examples
per second, side by side. grid: the share of a grid's wall time that is training.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from bertd.bench.glue.compare_sides import format_quality, format_speed, measure_quality, measure_speed
from bertd.bench.glue.grid import format_grid, measure_grid
from bertd.bench.glue.inputs import BENCH_TASKS, EPOCHS, LAYERS, WIDTH, prepare_data, save_random_encoder
from bertd.bench.glue.sides import share_cores, split_cores, start_sides
from bertd.errors import DeviceError
from bertd.program import run_main
from bertd.run.machine.cpu_model import read_cpu_model

_PARTS = ("speed", "grid", "quality")


def main() -> int:
    """Measure and print the tables."""
    return run_main(lambda: _measure(_parser().parse_args()))


def _measure(args: argparse.Namespace) -> None:
    if not (args.accelerate / "accelerate").is_dir():
        raise DeviceError(
            f"{args.accelerate}: no package accelerate there, which the Trainer needs; run `make bench-glue`"
        )
    num_cores = len(os.sched_getaffinity(0))
    print(f"BERT of {LAYERS} layers x {WIDTH}, not trained, fp32; {read_cpu_model()}, {num_cores} cores")
    print(
        f"torch {torch.__version__}, transformers {version('transformers')}, Python {platform.python_version()}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="bertd-bench-glue-") as folder:
        data = prepare_data(args.data, Path(folder) / "data")
        encoder = save_random_encoder(Path(folder) / "encoder", data=data)
        if "grid" in args.parts:
            figures = measure_grid(
                Path(folder) / "grid",
                encoder=encoder,
                data=data,
                tasks=args.tasks,
                num_workers=args.workers,
                epochs=args.epochs,
            )
            print(f"\n{format_grid(figures)}", flush=True)
        if "speed" in args.parts:
            with start_sides(accelerate=args.accelerate, cores=share_cores(args.cores)) as sides:
                turns = measure_speed(sides, encoder=encoder, data=data, num_turns=args.turns, max_rows=args.rows)
            print(f"\nan epoch of {args.rows} examples, {args.turns} turns, median (least-most)")
            print(format_speed(turns), flush=True)
        if "quality" in args.parts:
            with start_sides(accelerate=args.accelerate, cores=split_cores(args.cores)) as sides:
                finetunings = measure_quality(
                    sides, encoder=encoder, data=data, num_seeds=args.seeds, tasks=args.tasks, epochs=args.epochs
                )
            print(f"\n{args.epochs} epochs, {args.seeds} seeds, development set, median (least-most)")
            print(format_quality(finetunings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bertd.bench.glue", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="GLUE's official TSV layout")
    parser.add_argument(
        "--accelerate",
        type=Path,
        default=Path(sys.prefix) / "apart" / "accelerate",
        metavar="FOLDER",
        help="where the package is that transformers.Trainer needs (.venv/apart/accelerate)",
    )
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS, help="what to measure (all)")
    parser.add_argument("--tasks", nargs="+", choices=BENCH_TASKS, default=BENCH_TASKS, help="without speed (all)")
    parser.add_argument("--seeds", type=int, default=5, help="of quality (5)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of quality and grid ({EPOCHS})")
    parser.add_argument("--turns", type=int, default=5, help="of speed (5)")
    parser.add_argument("--rows", type=int, default=2560, help="training examples in each turn of speed (2560)")
    parser.add_argument("--cores", type=int, default=1, help="of each side of speed and quality (1)")
    parser.add_argument("--workers", type=int, default=2, help="of the grid (2)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

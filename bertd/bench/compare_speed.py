"""What `bertd bench` does: plans the work, measures the contenders, and prints their table or JSON."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib.metadata import version

import torch

from bertd.bench.models import select_contenders
from bertd.bench.timing import BenchResults, Measurement, run_bench
from bertd.bench.turn_log import TurnLog
from bertd.bench.workload import Workload, plan_workload
from bertd.errors import DeviceError, NumericsError, RecipeError
from bertd.run.amounts.quantities import format_bytes
from bertd.run.recipe.load import find_recipe, read_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_json
from bertd.train.backends.cpu_tuning import tune_cpu
from bertd.train.distributed.process_group import device_for_rank
from bertd.train.provenance import device_name

_SEQUENCES = {"cpu": 32, "cuda": 1024}
_MICROS = {"cpu": [8, 16, 32], "cuda": [64, 256, 512]}
"""Micro-batches to try; few on a GPU, since each is compiled for each contender."""
_SAME_SIZE_TOLERANCE = 0.01
"""Relative difference below which sizes count as equal: BertForMaskedLM also has a token-type table."""
_MODELS = {"ours": "bertd", "run": "a whole run", "bert": "BertForMaskedLM", "torch": "nn.TransformerEncoder"}
_RECIPES = {"cpu": "demo", "cuda": "fast"}
"""The default recipe for each kind of machine."""


def compare_speed(args: argparse.Namespace, *, recipe: Recipe | None) -> int:
    """Do what `bertd bench` is asked for and print it; returns the exit status.

    Args:
        recipe: that of the arguments; None where the machine decides.

    Raises:
        BertdError: the recipe, the data set or the device cannot be used.
    """
    if recipe is None:
        name = _RECIPES["cuda" if torch.cuda.is_available() else "cpu"]
        recipe = read_recipe(find_recipe(name), overrides=args.set)
    device = _device(recipe)
    if device.type == "cpu":
        tune_cpu()
    turn_log = TurnLog(args.out)
    num_sequences = args.sequences or _SEQUENCES[device.type]
    workload = plan_workload(recipe, device=device, num_sequences=num_sequences, is_synthetic=args.synthetic)
    results = run_bench(
        select_contenders(workload, is_ladder=args.ladder),
        workload,
        micros=_select_micro_batches(args.micro or _MICROS[device.type], num_sequences=num_sequences),
        repeats=args.repeats,
        seconds=args.seconds,
        log_line=lambda line: print(line, file=sys.stderr, flush=True),
        turn_log=turn_log,
    )
    print(
        terminal_json(json.dumps(_as_json(results, workload), indent=1)) if args.json else _as_table(results, workload)
    )
    # The table is printed in any case: it shows what is wrong.
    return NumericsError.exit_code if results.loss_faults else 0


def _device(recipe: Recipe) -> torch.device:
    """The first of the recipe's devices.

    Raises:
        DeviceError: the recipe needs a GPU, and there is none.
    """
    if recipe.devices.kind == "gpu" and not torch.cuda.is_available():
        raise DeviceError(
            f"{recipe.run.name} needs a GPU, and this machine has none; --set devices.kind=cpu measures its model on "
            "the CPU, or give another recipe"
        )
    return device_for_rank(recipe.devices, local_rank=0)


def _select_micro_batches(wanted: list[int], *, num_sequences: int) -> list[int]:
    """The micro-batches that divide `num_sequences`.

    Raises:
        RecipeError: none does.
    """
    micros = [micro for micro in wanted if micro > 0 and num_sequences % micro == 0]
    if not micros:
        raise RecipeError(f"--micro {' '.join(map(str, wanted))}: none divides --sequences {num_sequences}; change one")
    return micros


def _as_json(results: BenchResults, workload: Workload) -> dict[str, object]:
    return {
        "recipe": workload.recipe.run.name,
        "device": device_name(workload.device),
        "precision": workload.precision.mode,
        "torch": torch.__version__,
        "ceiling_flops": results.ceiling_flops,
        "flops_per_sequence": workload.flops / workload.num_sequences,
        "contenders": [
            {
                "name": each.contender.name,
                "micro": each.micro,
                "sequences_per_s": each.sequences_per_s,
                "first_update_s": each.first_update_s,
                "compile_s": each.compile_s,
                "peak_bytes": each.peak_bytes,
                "num_parameters": each.num_parameters,
                "first_loss": each.first_loss,
                "eager_loss": each.eager_loss,
                "last_loss": each.last_loss,
                "cache": each.cache,
                "gpu": None if each.gpu is None else each.gpu.model_dump(mode="json"),
            }
            for each in results.measured
        ],
        "failures": results.failures,
        "loss_faults": results.loss_faults,
    }


def _as_table(results: BenchResults, workload: Workload) -> str:
    config = workload.config
    baselines = [each for each in results.measured if each.contender.model == "bert"]
    stock = [each.median for each in baselines if each.contender.freed_pages == "returned"]
    first = results.measured[0].median if results.measured else 0.0
    reference, against = (max(stock), "best BertForMaskedLM") if stock else (first, "the first row")
    lines = [
        f"{workload.recipe.run.name}: {config.layers} layers x {config.width}, "
        f"vocabulary {config.padded_vocab_size:,}, {workload.sequence_length} tokens, "
        f"{workload.predictions} predicted, {workload.num_sequences} sequences an update, dropout {config.dropout:g}",
        f"{device_name(workload.device)}, {torch.get_num_threads()} threads, {workload.precision.mode}, "
        f"torch {torch.__version__}, transformers {version('transformers')}, Python {platform.python_version()}",
        f"a matrix product reaches {results.ceiling_flops / 1e12:.3f} TFLOP/s here",
        "",
        f"{'':38} {'micro':>5} {'sequences/s':>24} {'x':>6} {'TFLOP/s':>8} {'of ceiling':>10} "
        f"{'compile':>7} {'memory':>8} {'loss':>7}",
    ]
    lines += [_row(each, workload, reference=reference, ceiling=results.ceiling_flops) for each in results.measured]
    lines += [f"{name:38} {reason}" for name, reason in results.failures.items()]
    notes = [
        f"sequences/s: median (least - most) of {len(results.measured[0].sequences_per_s) if results.measured else 0} "
        f"turns, padding not counted ({workload.padded.text_share:.0%} of padded rows is text); x: against {against}",
        "TFLOP/s: of the model's matrix products; compile: the first update minus a later one; memory: a GPU's peak",
        *_describe_losses(results),
        *_describe_state(results),
    ]
    sizes = {each.contender.model: each.num_parameters for each in results.measured}
    if max(sizes.values(), default=0) > (1 + _SAME_SIZE_TOLERANCE) * min(sizes.values(), default=0):
        sizes_text = ", ".join(f"{_MODELS[model]} {number:,}" for model, number in sizes.items())
        notes.append(f"parameters: {sizes_text}; TFLOP/s are counted as bertd's model has them, for all")
    if len(baselines) > len(stock):
        notes.append(
            "pages kept: malloc keeps the memory that an update frees, as in bertd's ranks; by default it returns it"
        )
    if workload.attention.names:
        notes.append(f"measured attention: {workload.attention.names[0]}, {workload.attention.reason}")
    if workload.device.type == "cuda" and workload.apex.faults:
        notes.append(f"apex: {workload.apex.describe_faults()}")
    return "\n".join([*lines, "", *notes])


def _describe_losses(results: BenchResults) -> list[str]:
    notes = [f"WRONG: {name}: {fault}" for name, fault in results.loss_faults.items()]
    differences = [each.loss_difference for each in results.measured if each.loss_difference is not None]
    if differences:
        notes.append(
            f"loss: of the first update, at most {max(differences):.2%} off the same model's in plain eager code, for "
            f"{len(differences)} of {len(results.measured)}"
        )
    return notes


def _describe_state(results: BenchResults) -> list[str]:
    """Of the compiler's cache, and of the card where NVML is there."""
    notes = []
    for cache in ("cold", "warm"):
        if names := [each.contender.name for each in results.measured if each.cache == cache]:
            notes.append(f"compiler's cache: {cache} for {'; '.join(names)}")
    notes += [f"GPU under {each.contender.name}: {each.gpu.describe()}" for each in results.measured if each.gpu]
    return notes


def _row(each: Measurement, workload: Workload, *, reference: float, ceiling: float) -> str:
    flops = each.median * workload.flops / workload.num_sequences
    speeds = f"{each.median:.1f} ({min(each.sequences_per_s):.1f} - {max(each.sequences_per_s):.1f})"
    memory = "" if each.peak_bytes is None else format_bytes(each.peak_bytes)
    return (
        f"{each.contender.name:38} {each.micro:5} {speeds:>24} {each.median / reference:6.2f} {flops / 1e12:8.3f} "
        f"{flops / ceiling:10.0%} {each.compile_s:6.1f}s {memory:>8} "
        f"{each.first_loss:7.3f}"
    )

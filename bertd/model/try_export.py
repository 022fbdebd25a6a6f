"""Load an export with stock transformers and fill a mask: `python -m bertd.model.try_export FOLDER --fill TEXT`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from bertd.errors import CheckpointError
from bertd.program import run_main
from bertd.terminal_text import terminal_json


def fill_mask(folder: Path, text: str, *, top: int = 5) -> dict[str, object]:
    """The most likely words for the mask token in `text` under stock transformers.

    Raises:
        CheckpointError: not an export, keys are missing or unexpected, or the text has not exactly one mask token.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer  # a second of import that other users need not pay

    try:
        model, loading = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: not an export: {error}") from error
    if mismatched := [*loading["missing_keys"], *loading["unexpected_keys"]]:
        raise CheckpointError(f"{folder}: missing or unexpected weights {sorted(mismatched)}; export it again")
    ids_BS = tokenizer(text, return_tensors="pt")
    mask_positions = (ids_BS["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten()
    if len(mask_positions) != 1:
        raise CheckpointError(f"--fill {text!r}: has {len(mask_positions)} {tokenizer.mask_token}; write exactly one")
    with torch.no_grad():
        probabilities_V = model(**ids_BS).logits[0, mask_positions[0]].softmax(-1)
    best = probabilities_V.topk(top)
    fills = [
        {"token": tokenizer.decode([int(index)]).strip(), "probability": round(float(value), 4)}
        for value, index in zip(best.values, best.indices, strict=True)
    ]
    return {"architecture": type(model).__name__, "fills": fills}


def main() -> int:
    """Print one JSON object, or one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m bertd.model.try_export", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fill", required=True, help="a sentence with one mask token, such as [MASK] or <mask>")
    return run_main(lambda: _print_likely_words(parser.parse_args()), is_logged=True)


def _print_likely_words(args: argparse.Namespace) -> None:
    print(terminal_json(json.dumps(fill_mask(args.folder, args.fill))))


if __name__ == "__main__":
    sys.exit(main())

"""A data set small enough to train on in a test: made by the real commands from 400 generated documents."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE_S

_WORDS = [
    "the",
    "a",
    "model",
    "layer",
    "trains",
    "reads",
    "writes",
    "budget",
    "step",
    "loss",
    "of",
    "in",
    "and",
    "on",
    "under",
    "token",
    "night",
    "box",
]


def make_tiny_dataset(folder: Path) -> Path:
    """Prepare the data set below `folder`; a fifth of the documents validate.

    Returns:
        The data set's folder: 120-entry vocabulary, some 40,000 tokens.
    """
    chooser = random.Random(7)
    corpus = folder / "corpus.jsonl"
    with corpus.open("w") as file:
        for _ in range(400):
            sentences = [" ".join(chooser.choices(_WORDS, k=12)).capitalize() + "." for _ in range(8)]
            file.write(json.dumps({"text": " ".join(sentences)}) + "\n")
    _run("bertd.data.commands.vocab", str(corpus), "--size", "120", "--out", str(folder / "vocab"))
    out = folder / "dataset"
    _run(
        "bertd.data.commands.prepare",
        f"jsonl:{corpus}",
        "--vocab",
        str(folder / "vocab"),
        "--out",
        str(out),
        "--validation",
        "0.2",
        "--processes",
        "1",
    )
    return out


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, capture_output=True, timeout=PATIENCE_S)

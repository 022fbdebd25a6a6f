"""The tasks, settings and encoder of the finetuning bench."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast
from transformers.utils import logging

from bertd.errors import CorpusError
from bertd.glue.data.examples import read_train
from bertd.glue.tasks import TASKS
from bertd.records import FinetuneSpec

BENCH_TASKS = ("cola", "sst-2", "mrpc", "rte", "sts-b")
SST2_ROWS = 5_000
"""Of 67,349: so that it takes no longer than the others."""
_VOCABULARY_SIZE = 8_192
LAYERS, WIDTH = 2, 128
MAX_LENGTH = 128
LEARNING_RATE = 1e-3
"""Weights that were drawn at random learn next to nothing at the rates of pretrained ones."""
EPOCHS = 3
BATCH_SIZE = 32


def prepare_data(glue: Path, folder: Path, *, max_rows: int | None = None) -> Path:
    """A folder with the tasks in GLUE's layout; returns `folder`, made or found.

    Args:
        glue: has the tasks' files.
        folder: to make.
        max_rows: training rows of each task, the first ones; None for all, but of SST-2 for SST2_ROWS.

    Raises:
        CorpusError: a task's files are missing.
    """
    for name in BENCH_TASKS:
        task = TASKS[name]
        (folder / task.folder).mkdir(parents=True, exist_ok=True)
        for file in ("train.tsv", "dev.tsv"):
            path = glue / task.folder / file
            if not path.is_file():
                raise CorpusError(f"{path}: does not exist; --data must name a folder in GLUE's layout")
            limit = (max_rows or (SST2_ROWS if name == "sst-2" else None)) if file == "train.tsv" else None
            # Only CoLA's files have no header.
            num_lines = None if limit is None else limit + (name != "cola")
            with path.open(encoding="utf-8", newline="\n") as lines:
                (folder / task.folder / file).write_text("".join(islice(lines, num_lines)), encoding="utf-8")
    return folder


def save_random_encoder(folder: Path, *, data: Path, layers: int = LAYERS, width: int = WIDTH) -> Path:
    """Write a BERT that was not trained, with a vocabulary of the tasks' training texts; returns `folder`.

    Raises:
        CorpusError: no vocabulary could be made.
    """
    texts = folder.with_name("texts.txt")
    examples = [example for name in BENCH_TASKS for example in read_train(TASKS[name], data_dir=data).examples]
    sides = [text for example in examples for text in (example.first, example.second) if text]
    texts.write_text("\n\n".join(sides), encoding="utf-8")
    command = [sys.executable, "-m", "bertd.data.commands.vocab", str(texts)]
    command += ["--size", str(_VOCABULARY_SIZE), "--out", str(folder)]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise CorpusError(f"{texts}: no vocabulary could be made of it; the reason is above")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    torch.manual_seed(0)
    logging.disable_progress_bar()
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


def make_spec(task: str, *, encoder: Path, data: Path, seed: int, epochs: int = EPOCHS) -> FinetuneSpec:
    """One finetuning; both sides have the same."""
    return FinetuneSpec(
        task=task,
        data_dir=str(data),
        source=str(encoder),
        source_name="random",
        seed=seed,
        lr=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        max_length=MAX_LENGTH,
    )

"""Fetching from the hub, through a hub cache on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from bertd.data.sources.glue_tsv import GLUE_TABLES, write_glue
from bertd.errors import CorpusError
from bertd.glue.data.examples import read_dev, read_train
from bertd.glue.tasks import TASKS, Task


def make_glue(folder: Path) -> None:
    """A few rows of every task, as the hub has them."""
    for table in GLUE_TABLES:
        (folder / table.config).mkdir(parents=True)
        for split, _ in table.splits:
            rows = 6
            columns: dict[str, list[object]] = {
                column: [f'{split} "{column}\t{row}' for row in range(rows)] for column in table.texts
            }
            classes = 5 if table.labels is None else len(table.labels)
            columns["label"] = [-1 if split.startswith("test") else row % classes for row in range(rows)]
            columns["idx"] = list(range(rows))
            path = folder / table.config / f"{split}-00000-of-00001.parquet"
            pyarrow.parquet.write_table(pyarrow.table(columns), path)


@pytest.mark.parametrize("task", list(TASKS.values()), ids=list(TASKS))
def test_glue_from_the_hub_is_read_by_finetuning(tmp_path: Path, task: Task) -> None:
    make_glue(tmp_path)
    write_glue(tmp_path, out=tmp_path)
    dev, absent = read_dev(task, data_dir=tmp_path)
    assert not absent
    splits = {"train": read_train(task, data_dir=tmp_path)} | {f"validation{suffix}": dev[suffix] for suffix in dev}
    # The hub numbers MNLI's classes in another order than the tasks here.
    words = ("entailment", "neutral", "contradiction") if task.name in ("mnli", "ax") else task.labels
    for name, split in splits.items():
        assert len(split.examples) == 6 and split.skipped_lines == 0
        for row, example in enumerate(split.examples):
            wanted = row % 5 if task.labels is None or words is None else task.labels.index(words[row % len(words)])
            assert example.target == wanted
            assert example.first.startswith(f"{name.split('_')[0]}") and example.first.endswith(f" {row}")
            assert (example.second is not None) == (len(task.sentences) == 2)
    assert (tmp_path / "SST-2" / "test.tsv").read_text().splitlines()[0] == "index\tsentence"


def test_a_folder_without_glue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no Parquet file of GLUE"):
        write_glue(tmp_path, out=tmp_path)


def test_without_a_network_it_says_so_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    for name, repository in (("wikipedia", "wikimedia/wikipedia"), ("bookcorpus", "bookcorpus/bookcorpus")):
        command = [sys.executable, "-m", "bertd.data.commands.fetch", name, "--out", f"{tmp_path}/files"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == CorpusError.exit_code
        assert done.stderr.startswith(
            f"bertd: {repository}: the hub cannot be reached from here (HF_HUB_OFFLINE is set); run"
        )
        assert done.stderr.count("\n") == 1

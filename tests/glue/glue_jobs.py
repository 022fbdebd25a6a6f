"""Made-up tasks in GLUE's layout that an encoder of a few thousand weights learns, and job folders for them."""

from __future__ import annotations

import random
from pathlib import Path

from bertd.records import FinetuneSpec
from bertd.run.paths import JobPaths
from tests.glue.tiny_export import WORDS


def draw_sentence(draw: random.Random, *, label: int) -> str:
    words = draw.choices(WORDS[:8], k=draw.randint(2, 9))
    words.insert(draw.randrange(len(words)), ("bad", "good")[label])
    return " ".join(words)


def write_cola(data_dir: Path, *, num_train: int = 240, num_dev: int = 60) -> Path:
    draw = random.Random(1)
    (data_dir / "CoLA").mkdir(parents=True)
    for name, size in (("train", num_train), ("dev", num_dev)):
        # Two in three are good, so that the majority guess scores two thirds.
        labels = [int(index % 3 > 0) for index in range(size)]
        lines = [f"demo\t{label}\t\t{draw_sentence(draw, label=label)}\n" for label in labels]
        (data_dir / "CoLA" / f"{name}.tsv").write_text("".join(lines))
    return data_dir


def write_stsb(data_dir: Path) -> Path:
    draw = random.Random(1)
    (data_dir / "STS-B").mkdir(parents=True)
    for name, size in (("train", 240), ("dev", 60)):
        lines = ["index\tsentence1\tsentence2\tscore\n"]
        for index in range(size):
            label = index % 2
            first, second = draw_sentence(draw, label=1), draw_sentence(draw, label=label)
            lines.append(f"{index}\t{first}\t{second}\t{5.0 * label:.3f}\n")
        (data_dir / "STS-B" / f"{name}.tsv").write_text("".join(lines))
    return data_dir


def write_mnli(data_dir: Path) -> Path:
    draw = random.Random(1)
    (data_dir / "MNLI").mkdir(parents=True)
    for name, size in (("train", 240), ("dev_matched", 60)):
        lines = ["index\tsentence1\tsentence2\tgold_label\n"]
        for index in range(size):
            first, second = draw_sentence(draw, label=1), draw_sentence(draw, label=index % 2)
            gold = ("contradiction", "entailment")[index % 2] if index % 5 else "neutral"
            lines.append(f"{index}\t{first}\t{second}\t{gold}\n")
        (data_dir / "MNLI" / f"{name}.tsv").write_text("".join(lines))
    return data_dir


def write_job(folder: Path, **fields: object) -> JobPaths:
    spec = FinetuneSpec.model_validate(
        {
            "task": "cola",
            "source_name": "1-demo/000000010",
            "lr": 1e-2,
            "batch_size": 16,
            "epochs": 3,
            "max_length": 32,
            **fields,
        }
    )
    folder.mkdir()
    paths = JobPaths(folder)
    paths.finetune_spec.write_text(spec.model_dump_json())
    return paths

"""`python -m bertd.bench.glue.stock`: the stock side, a usual script around transformers.Trainer.

It reads the same examples and computes the same metrics. All else is the Trainer's: AdamW with its defaults, no decay
on biases and norms, gradients clipped at 1, a linear schedule after warm-up, dropout 0.1 from the configuration.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import datasets
import numpy as np
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from bertd.bench.glue.side_protocol import Answer, Order, Padding, answer_orders
from bertd.glue.data.examples import Example
from bertd.glue.data.task_data import read_task_data
from bertd.glue.metrics import compute_metric
from bertd.glue.tasks import Task
from bertd.program import run_main


class _Clock(TrainerCallback):  # type: ignore[misc]  # transformers has no types.
    """Times the training, without what precedes its first batch."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.wall_s, self.cpu_s = -time.perf_counter(), -time.process_time()

    def on_train_end(self, *_: object, **__: object) -> None:
        self.wall_s += time.perf_counter()
        self.cpu_s += time.process_time()


def carry_out(order: Order) -> Answer:
    """Do one finetuning."""
    spec = order.spec
    data = read_task_data(spec)
    transformers.set_seed(spec.seed)
    labels = data.task.labels
    tokenizer = AutoTokenizer.from_pretrained(spec.source, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        spec.source,
        num_labels=1 if labels is None else len(labels),
        problem_type="regression" if labels is None else "single_label_classification",
        local_files_only=True,
    )

    def encode(examples: list[Example]) -> Any:
        texts = [[example.first for example in examples]]
        if examples[0].second is not None:
            texts.append([example.second or "" for example in examples])
        columns = tokenizer(*texts, truncation=True, max_length=spec.max_length)
        targets = [example.target if labels is None else int(example.target) for example in examples]
        return datasets.Dataset.from_dict({**columns, "labels": targets})

    clock = _Clock()
    train_examples = data.train.examples[: order.max_rows]
    with tempfile.TemporaryDirectory(prefix="bertd-bench-glue-") as folder:
        trainer = Trainer(
            model=model,
            args=_arguments(order, folder=folder),
            train_dataset=encode(train_examples),
            eval_dataset=encode(next(iter(data.dev.values())).examples),
            processing_class=tokenizer,
            compute_metrics=lambda prediction: {data.task.headline: _measure(data.task, prediction)},
            callbacks=[clock],
        )
        trained = trainer.train()
    name = f"eval_{data.task.headline}"
    scores = [entry[name] for entry in trainer.state.log_history if name in entry]
    return Answer(
        num_examples=len(train_examples) * spec.epochs,
        wall_s=clock.wall_s,
        cpu_s=clock.cpu_s,
        score=max(scores, default=None),
        loss=trained.training_loss if order.is_evaluated else None,
    )


def _arguments(order: Order, *, folder: str) -> TrainingArguments:
    spec = order.spec
    return TrainingArguments(
        output_dir=folder,
        learning_rate=spec.lr,
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=64,
        num_train_epochs=spec.epochs,
        weight_decay=spec.weight_decay,
        warmup_steps=spec.warmup,
        lr_scheduler_type="linear",
        seed=spec.seed,
        train_sampling_strategy="group_by_length" if order.padding is Padding.GROUPED else "random",
        eval_strategy="epoch" if order.is_evaluated else "no",
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )


def _measure(task: Task, prediction: EvalPrediction) -> float:
    outputs = np.asarray(prediction.predictions, dtype=np.float64)
    decided = outputs[:, 0] if task.labels is None else outputs.argmax(axis=1).astype(np.float64)
    return compute_metric(task.headline, decided, np.asarray(prediction.label_ids, dtype=np.float64).reshape(-1))


def main() -> int:
    """Answer orders."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    return run_main(lambda: answer_orders(carry_out), is_logged=True)


if __name__ == "__main__":
    sys.exit(main())

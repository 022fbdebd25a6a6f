"""A worker reads and tokenizes a task once for all of its trials."""

from __future__ import annotations

from pathlib import Path

from bertd.glue.model.classifier import load_classifier
from bertd.glue.task_cache import TaskCache
from bertd.records import FinetuneSpec
from tests.glue.glue_jobs import write_cola, write_stsb
from tests.glue.tiny_export import save_tiny_export


def test_trials_of_a_task_share_its_tokenized_examples_and_other_models_do_not(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    write_stsb(write_cola(tmp_path / "data"))
    spec = FinetuneSpec(
        task="cola", data_dir=str(tmp_path / "data"), source=str(export), source_name="1-demo/1", seed=1
    )
    cache = TaskCache()
    kind = cache.read(spec)
    assert cache.read(spec.model_copy(update={"seed": 2, "lr": 1e-3})) is kind

    first, second, short = (load_classifier(export, kind.head, max_length=length) for length in (32, 32, 8))
    encoded = kind.encode_train(first)
    assert kind.encode_train(second) is encoded
    assert kind.encode_dev(second)[0].encoded is kind.encode_dev(first)[0].encoded
    cut = kind.encode_train(short)
    assert max(len(example.input_ids) for example in cut) == 8 < max(len(example.input_ids) for example in encoded)

    other = cache.read(spec.model_copy(update={"task": "sts-b"}))
    assert other.name == "sts-b"
    assert cache.read(spec) is not kind

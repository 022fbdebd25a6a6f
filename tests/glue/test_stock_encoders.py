"""Any encoder that stock transformers saved is finetuned with all its weights, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertd.errors import CheckpointError
from bertd.glue import __main__
from bertd.glue.data.examples import Example
from bertd.glue.model.classifier import DROPOUT, load_classifier
from bertd.glue.model.finetuned_model import save_finetuned
from bertd.glue.tasks import TASKS
from bertd.glue.training.batches import pad
from bertd.glue.training.encoding import encode
from bertd.glue.training.forward import forward
from bertd.records import ScoreRecord
from bertd.run.journal import read_journal
from bertd.train.backends.precision import Precision
from tests.glue.glue_jobs import write_cola, write_job
from tests.glue.stock_encoders import save_stock_encoder

FP32 = Precision(mode="fp32", dtype=None, needs_scaler=False)
FAMILIES = (
    "bert",
    "bert-without-head",
    "roberta",
    "distilbert",
    "electra",
    "modernbert",
    "albert",
    "deberta-v2",
    "mpnet",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stock_encoder_is_loaded_with_its_own_weights(tmp_path: Path, name: str) -> None:
    folder = save_stock_encoder(tmp_path / "model", name=name)
    saved = load_file(folder / "model.safetensors")
    classifier = load_classifier(folder, TASKS["cola"].head, max_length=512)
    loaded = classifier.model.base_model.state_dict()
    prefix = f"{classifier.model.base_model_prefix}."
    found = {key: saved.get(key, saved.get(prefix + key)) for key in loaded}
    absent = [key for key, tensor in found.items() if tensor is None and "pooler" not in key]
    assert not absent
    assert all(torch.equal(loaded[key], tensor) for key, tensor in found.items() if tensor is not None)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_of_another_task_is_loaded_but_for_its_output_layers(tmp_path: Path, name: str) -> None:
    encoder = save_stock_encoder(tmp_path / "model", name=name)
    first = load_classifier(encoder, TASKS["mnli"].head, max_length=32)
    folder = tmp_path / "finetuned"
    save_finetuned(folder, first, task="mnli", text=("a", "b"), tokenizer_dir=encoder, source="1-demo/1")
    with pytest.raises(CheckpointError):
        load_classifier(folder, TASKS["sts-b"].head, max_length=32)
    torch.manual_seed(1)
    second = load_classifier(folder, TASKS["sts-b"].head, max_length=32, is_finetuned=True)
    before, after = first.model.state_dict(), second.model.state_dict()
    replaced = {key for key in before if before[key].shape != after[key].shape}
    assert {after[key].shape[0] for key in replaced} == {1}
    assert all(torch.equal(before[key], after[key]) for key in before.keys() - replaced)
    torch.manual_seed(1)
    again = load_classifier(folder, TASKS["sts-b"].head, max_length=32, is_finetuned=True)
    assert all(torch.equal(again.model.state_dict()[key], after[key]) for key in replaced)


@pytest.mark.parametrize("name", [*FAMILIES, "esm"])
def test_padded_texts_get_what_the_stock_model_gives_each_alone(tmp_path: Path, name: str) -> None:
    classifier = load_classifier(save_stock_encoder(tmp_path / "model", name=name), TASKS["rte"].head, max_length=512)
    model = classifier.model.eval()
    # The longest text has every position of the model, beyond ModernBERT's local attention.
    pairs = [Example("good " * 100, "bad cat " * 100, 0.0), Example("a cat", "sat", 0.0), Example("a", "", 0.0)]
    encoded = encode(pairs, classifier)
    assert len(encoded[0].input_ids) == classifier.max_length >= 38
    logits_BC = forward(model, pad(encoded, pad_id=classifier.pad_id), precision=FP32)
    for row, example in enumerate(pairs):
        alone = classifier.tokenizer(
            [example.first],
            [example.second],
            return_tensors="pt",
            truncation=True,
            max_length=classifier.max_length,
            return_token_type_ids=classifier.has_segments,
        )
        torch.testing.assert_close(logits_BC[row : row + 1], model(**alone).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["roberta", "distilbert", "electra", "modernbert", "esm"])
def test_a_stock_encoder_learns_a_task(tmp_path: Path, name: str) -> None:
    export = save_stock_encoder(tmp_path / "model", name=name)
    data_dir = write_cola(tmp_path / "data")
    paths = write_job(tmp_path / "job", data_dir=str(data_dir), source=str(export), epochs=6, lr=5e-3)
    assert __main__.main([str(paths.root)]) == 0
    score = next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))
    assert score.metrics["accuracy"] > 0.9


@pytest.mark.parametrize("name", ["bert", "distilbert", "modernbert"])
def test_every_family_gets_the_dropout_of_a_finetuning(tmp_path: Path, name: str) -> None:
    classifier = load_classifier(save_stock_encoder(tmp_path / "model", name=name), TASKS["cola"].head, max_length=32)
    rates = {module.p for module in classifier.model.base_model.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {DROPOUT}


@pytest.mark.parametrize(("name", "kind"), [("gpt2", "gpt2"), ("bart", "bart")])
def test_a_model_that_is_no_encoder_is_refused_by_its_kind(tmp_path: Path, name: str, kind: str) -> None:
    folder = save_stock_encoder(tmp_path / "model", name=name)
    with pytest.raises(CheckpointError, match=f"model type '{kind}' is not an encoder; give a model such as BERT"):
        load_classifier(folder, TASKS["cola"].head, max_length=32)


def test_a_decoder_made_of_an_encoder_is_refused(tmp_path: Path) -> None:
    folder = save_stock_encoder(tmp_path / "model", name="bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    with pytest.raises(CheckpointError, match="is not an encoder"):
        load_classifier(folder, TASKS["cola"].head, max_length=32)


@pytest.mark.parametrize("content", ["{}", '{"model_type": "no-such-model"}', "[]", "{"])
def test_a_configuration_that_is_none_is_one_clear_error(tmp_path: Path, content: str) -> None:
    folder = save_stock_encoder(tmp_path / "model", name="bert")
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=str(folder)):
        load_classifier(folder, TASKS["cola"].head, max_length=32)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = save_stock_encoder(tmp_path / "model", name="bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="transformers cannot load it"):
        load_classifier(folder, TASKS["cola"].head, max_length=32)


def test_a_tokenizer_without_a_padding_token_is_refused(tmp_path: Path) -> None:
    folder = save_stock_encoder(tmp_path / "model", name="bert")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="no padding token"):
        load_classifier(folder, TASKS["cola"].head, max_length=32)


@pytest.mark.parametrize("name", ["bert-without-head", "distilbert", "modernbert"])
@pytest.mark.parametrize("change", ["missing", "not of this architecture"])
def test_weights_that_do_not_fit_are_refused_in_every_family(tmp_path: Path, name: str, change: str) -> None:
    folder = save_stock_encoder(tmp_path / "model", name=name)
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if ".0." in key and key.endswith("weight"))
    tensor = weights[key] if change == "not of this architecture" else weights.pop(key)
    if change == "not of this architecture":
        weights[key.replace(".0.", ".7.")] = tensor.clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"1 weights of the encoder are {change}"):
        load_classifier(folder, TASKS["cola"].head, max_length=32)

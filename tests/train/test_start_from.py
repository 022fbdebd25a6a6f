"""A run that starts from a stock transformers checkpoint continues from its loss, and reads it only once."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from bertd.data.batches.batches import validation_batches
from bertd.data.batches.masking import IGNORE_INDEX
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.errors import CheckpointError
from bertd.records import AlertRecord, EndRecord, StartRecord, ValidationRecord
from bertd.run.paths import RunPaths, newest_first
from bertd.tokenizer.tokenizer import vocabulary_from_tokenizer
from bertd.train import check_start_from
from bertd.train.run_inputs import build_validation_masker, load_run_inputs
from tests.tokenizers_as_published import ODD_TEXTS, gemma_like, modern_like, roberta_like
from tests.train.loop.test_trainer import attempt, kind_of, make_run, run_to_end

README = Path(__file__).parents[2] / "README.md"
FREQUENCY = "model.head_bias=frequency"


def export_of_a_run(folder: Path, dataset: Path) -> tuple[Path, float]:
    """Train a run; return its export and its validation loss."""
    paths = make_run(folder, dataset)
    run_to_end(paths)
    loss = kind_of(paths, EndRecord)[0].validation_loss
    assert loss is not None
    return newest_first(paths.exports)[0], loss


def test_a_run_starts_with_the_loss_that_the_checkpoint_ended_with(tmp_path: Path, dataset: Path) -> None:
    export, loss = export_of_a_run(tmp_path / "first", dataset)
    paths = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"')

    run_to_end(paths)

    assert kind_of(paths, StartRecord)[0].start_from == f"MegatronBertForMaskedLM of {export}"
    before, *_, after = kind_of(paths, ValidationRecord)
    assert before.step == 0 and before.loss == pytest.approx(loss, abs=1e-6)
    assert after.loss < before.loss


PUBLISHED: dict[str, tuple[Callable[[], Tokenizer], dict[str, object], list[str]]] = {
    "roberta-prelayernorm": (roberta_like, {"layer_norm_eps": 1e-5, "type_vocab_size": 1}, ["model.norm_eps=1e-5"]),
    "modernbert": (
        modern_like,
        {"local_attention": 8, "num_hidden_layers": 3},
        [
            *("model.layers=3", "model.positions=rotary", "model.activation=geglu", "model.bias=false"),
            *("model.norm_eps=1e-5", "model.rotary_base=160000.0", "model.local_attention=8"),
        ],
    ),
}
PUBLISHED["modernbert in SentencePiece"] = (gemma_like, *PUBLISHED["modernbert"][1:])
"""Tokenizer, configuration and recipe of a small model of each published family."""


@pytest.mark.parametrize("published", PUBLISHED)
def test_a_run_continues_from_a_published_model_with_its_vocabulary(published: str, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

    build, keys, overrides = PUBLISHED[published]
    folder, vocabulary = tmp_path / "published", vocabulary_from_tokenizer(build(), place="test")
    special = {f"{role}_token": vocabulary.entries[number] for role, number in vocabulary.special_by_role.items()}
    PreTrainedTokenizerFast(tokenizer_object=build(), **special).save_pretrained(folder)
    torch.manual_seed(3)
    keys = {"num_hidden_layers": 2, "vocab_size": vocabulary.size, "pad_token_id": vocabulary.pad} | keys
    keys |= {f"{role}_token_id": vocabulary.cls for role in ("bos", "cls")}
    keys |= {f"{role}_token_id": vocabulary.sep for role in ("eos", "sep")}
    shape = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 66}
    stock = AutoModelForMaskedLM.from_config(AutoConfig.for_model(published.split()[0], **shape, **keys)).eval()
    stock.save_pretrained(folder)
    data = tmp_path / "data"
    # Many documents, so that a fifth of them is enough to validate on whatever README says.
    long_lines = [line for line in README.read_text(encoding="utf-8").splitlines() if len(line) > 60]
    lines = [json.dumps({"text": line}) for line in long_lines]
    (tmp_path / "parts.jsonl").write_text("\n".join(lines))
    options = PrepareOptions(vocab=str(folder), validation_share=0.2)
    prepare([str(tmp_path / "parts.jsonl")], out=data, options=options, processes=1)
    paths = make_run(tmp_path / "run", data, f'model.start_from="{folder}"', "model.embedding_norm=true", *overrides)

    run_to_end(paths)

    before, *_, after = kind_of(paths, ValidationRecord)
    assert before.step == 0 and before.loss == pytest.approx(loss_of(stock, paths), abs=1e-5)
    assert after.loss < before.loss
    export = newest_first(paths.exports)[0]
    trained, report = AutoModelForMaskedLM.from_pretrained(export, output_loading_info=True)
    assert type(trained) is type(stock) and not report["missing_keys"] and not report["unexpected_keys"]
    assert loss_of(trained.eval(), paths) == pytest.approx(after.loss, abs=1e-5)
    for text in ODD_TEXTS:
        ids = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
        assert AutoTokenizer.from_pretrained(export)(text)["input_ids"] == ids


def loss_of(stock: Any, paths: RunPaths) -> float:
    """Validation loss in nats of a transformers model, on a run's validation set and masks."""
    run_inputs = load_run_inputs(paths)
    batches = validation_batches(
        sequences=run_inputs.validation,
        masker=build_validation_masker(run_inputs.recipe, run_inputs.dataset.vocabulary),
        micro_batch=8,
        rank=0,
        world_size=1,
        max_sequences=run_inputs.recipe.validation.max_sequences,
        device=torch.device("cpu"),
    )
    losses, count = 0.0, 0
    for batch in batches:
        with torch.no_grad():
            scores_BSV = stock(batch.inputs_BS).logits
        scores_BMV = scores_BSV.gather(1, batch.positions_BM.unsqueeze(2).expand(-1, -1, scores_BSV.size(2)))
        losses += float(F.cross_entropy(scores_BMV.flatten(0, 1), batch.labels_BM.flatten(), reduction="sum"))
        count += int((batch.labels_BM != IGNORE_INDEX).sum())
    return losses / count


def test_the_checkpoints_output_bias_stays_and_a_recipe_that_wants_another_gets_an_alert(
    tmp_path: Path, dataset: Path
) -> None:
    export, loss = export_of_a_run(tmp_path / "first", dataset)
    keys = (f'model.start_from="{export}"', FREQUENCY, "model.first_weights=cooccurrence")
    paths, stop_signal = make_run(tmp_path / "second", dataset, *keys), Event()
    with attempt(paths, stop_signal=stop_signal) as trainer:
        trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()
    run_to_end(paths, number=2)

    assert kind_of(paths, ValidationRecord)[0].loss == pytest.approx(loss, abs=1e-6)
    # Once: the second attempt resumes its own checkpoint.
    bias, weights = kind_of(paths, AlertRecord)
    assert (bias.code, bias.level) == ("head_bias_unused", "warning")
    assert bias.message.startswith('[model] head_bias = "frequency" has no effect') and str(export) in bias.message
    assert (weights.code, weights.level) == ("first_weights_unused", "warning")
    assert '[model] first_weights = "cooccurrence" has no effect' in weights.message and str(export) in weights.message


def test_once_it_has_a_checkpoint_of_its_own_the_first_weights_are_not_read_again(
    tmp_path: Path, dataset: Path
) -> None:
    export, _ = export_of_a_run(tmp_path / "first", dataset)
    paths, stop_signal = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"'), Event()
    with attempt(paths, stop_signal=stop_signal) as trainer:
        trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()
    shutil.rmtree(export)

    run_to_end(paths, number=2)

    assert [start.start_from is None for start in kind_of(paths, StartRecord)] == [False, True]
    assert kind_of(paths, EndRecord)[0].step == 12


def test_a_checkpoint_of_another_shape_ends_the_run_before_it_starts(tmp_path: Path, dataset: Path) -> None:
    export, _ = export_of_a_run(tmp_path / "first", dataset)
    paths = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"', "model.layers=3")

    with pytest.raises(CheckpointError, match=r"of another shape than the recipe's; write layers = 2 in"):
        run_to_end(paths)

    assert not paths.journal.exists()


def test_a_checkpoint_that_does_not_fit_is_known_before_it_is_loaded(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export, _ = export_of_a_run(tmp_path / "first", dataset)
    (export / "model.safetensors").unlink()
    for name, overrides, code in (("fits", [], 0), ("too deep", ["model.layers=3"], 65)):
        paths = make_run(tmp_path / name, dataset, f'model.start_from="{export}"', *overrides)
        monkeypatch.setattr(sys, "stdin", io.StringIO(paths.recipe.read_text()))
        assert check_start_from.main() == code
        said = capsys.readouterr()
        assert said.out == "" and bool(said.err) == bool(code)
    assert said.err.startswith(f"bertd: {export}: a MegatronBertForMaskedLM, of another shape than the recipe's; write")

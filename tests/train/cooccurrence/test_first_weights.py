"""The first weights: what a model predicts and attends to before it has trained."""

from __future__ import annotations

import math
import random
from pathlib import Path
from threading import Event

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertd.errors import RecipeError
from bertd.model.encoder import EncoderConfig, Layer, MaskedLanguageModel
from bertd.records import EndRecord
from bertd.train.cooccurrence.first_weights import OFFSETS_OF_HEADS, write_first_weights
from bertd.train.cooccurrence.neighbour_counts import NeighbourCounts
from tests.train.loop.test_trainer import attempt, kind_of, make_run, run_to_end

SPECIAL, MASK, VOCAB, UNSEEN = [0, 1, 2], 2, 203, 202


def config(**changes: object) -> EncoderConfig:
    shape: dict[str, object] = {
        "vocab_size": VOCAB,
        "layers": 2,
        "width": 128,
        "heads": 4,
        "ffn": 64,
        "max_positions": 64,
        "norm": "pre",
        "embedding_norm": False,
        "activation": "gelu",
        "positions": "learned",
        "bias": True,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    }
    return EncoderConfig(**{**shape, **changes})  # type: ignore[arg-type]


def chain(num_tokens: int) -> Tensor:
    """A text in which each of 199 words is followed by one of two."""
    chooser, word, words = random.Random(5), 0, []
    for _ in range(num_tokens):
        words.append(3 + word)
        word = (word * 2 + chooser.randrange(2)) % 199
    return torch.tensor(words)


@pytest.fixture(scope="module")
def counts() -> NeighbourCounts:
    return NeighbourCounts.of_sample(chain(60_000), vocab_size=VOCAB, special=SPECIAL)


def model_of(counts: NeighbourCounts, **changes: object) -> MaskedLanguageModel:
    model = MaskedLanguageModel(config(**changes), seed=1).eval()
    shares = counts.frequencies_V.clamp(min=1) / counts.frequencies_V.sum()
    with torch.no_grad():
        model.head.bias[:VOCAB] = shares.log()
    write_first_weights(model, counts, special=SPECIAL, mask=MASK, seed=4)
    return model


def masked_loss(model: MaskedLanguageModel) -> float:
    """Of every eighth token of another part of the text."""
    text_BS = chain(90_000)[60_000:][: 64 * 64].view(64, 64)
    positions_BM = torch.arange(4, 64, 8).expand(64, -1)
    labels_BM = text_BS.gather(1, positions_BM)
    inputs_BS = text_BS.scatter(1, positions_BM, MASK)
    with torch.no_grad():
        return float(model(inputs_BS, positions_BM, labels_BM)) / labels_BM.numel()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"embedding_norm": True},
        {"heads": 2},
        {"heads": 1},
        {"heads": 8, "width": 256},
        {"bias": False},
        {"max_positions": 300},
    ],
    ids=str,
)
def test_a_word_is_predicted_from_its_neighbours_before_a_step(
    counts: NeighbourCounts, changes: dict[str, object]
) -> None:
    # By frequency alone: log 199 = 5.3; from both neighbours a word is known but for 0.35 nats.
    assert masked_loss(model_of(counts, **changes)) < 3.2
    plain = MaskedLanguageModel(config(**changes), seed=1).eval()
    assert masked_loss(plain) > 5.0


def test_each_head_attends_to_its_offsets(counts: NeighbourCounts) -> None:
    model = model_of(counts)
    layer, K, S = model.encoder.layers[0], 32, 40
    assert isinstance(layer, Layer)
    x_SD = layer.attention_norm(model.encoder.embeddings(chain(S).unsqueeze(0)))[0]
    query_SD, key_SD, _ = F.linear(x_SD, layer.attention.qkv.weight).chunk(3, dim=1)
    for head, offsets in enumerate(OFFSETS_OF_HEADS):
        part = slice(head * K, (head + 1) * K)
        weights_SS = (query_SD[:, part] @ key_SD[:, part].mT / math.sqrt(K)).softmax(dim=1)
        for place in range(5, S - 5):
            assert sum(weights_SS[place, place + offset] for offset in offsets) > 0.8, (head, place)


def test_words_that_were_not_seen_and_special_tokens_keep_their_draw(counts: NeighbourCounts) -> None:
    drawn = MaskedLanguageModel(config(), seed=1).encoder.embeddings.tokens.weight
    written = model_of(counts).encoder.embeddings.tokens.weight
    for kept in (0, 1, UNSEEN):
        assert torch.equal(written[kept], drawn[kept])
    assert not torch.equal(written[MASK], drawn[MASK])
    # The mask says nothing: it is orthogonal to every word that was seen.
    assert (written[3:UNSEEN] @ written[MASK]).abs().max() < 1e-5


def test_the_weights_are_the_same_each_time(counts: NeighbourCounts) -> None:
    first, second = (model_of(counts).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_every_part_can_learn(counts: NeighbourCounts) -> None:
    model = model_of(counts)
    text_BS = chain(4 * 64).view(4, 64)
    positions_BM = torch.arange(4, 64, 8).expand(4, -1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        model(text_BS.scatter(1, positions_BM, MASK), positions_BM, text_BS.gather(1, positions_BM)).backward()
        optimizer.step()
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]  # type: ignore[union-attr]
    # A softmax does not change when all its scores do.
    assert [name for name in still if not name.endswith("qkv.bias")] == []


def test_a_run_begins_with_them_and_a_later_attempt_does_not(
    tmp_path: Path, dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = ("model.width=32", "model.heads=2", "model.head_bias=frequency", "model.first_weights=cooccurrence")
    paths, stop_signal = make_run(tmp_path / "counted", dataset, *keys), Event()
    with attempt(paths, stop_signal=stop_signal) as trainer:
        embeddings = trainer.components.model.encoder.embeddings.tokens.weight
        # 18 words, the full stop and the mask have the same length, which drawn ones have not.
        assert (embeddings.norm(dim=1) - 0.02 * math.sqrt(32)).abs().lt(1e-6).sum() == 20
        trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()
    assert "first weights from 34,020 tokens of the data" in capfd.readouterr().out
    run_to_end(paths, number=2)
    assert "first weights" not in capfd.readouterr().out
    assert kind_of(paths, EndRecord)


@pytest.mark.parametrize(
    "keys",
    [
        ["model.norm=post", "model.embedding_norm=true"],
        ["model.positions=rotary", "model.activation=geglu", "model.embedding_norm=true"],
    ],
)
def test_shapes_that_it_does_not_fit_are_refused(keys: list[str], tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(RecipeError, match="first_weights"):
        make_run(tmp_path / "run", dataset, *keys, "model.first_weights=cooccurrence")

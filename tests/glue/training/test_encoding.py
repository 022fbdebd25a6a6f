"""What is encoded is what transformers encodes with truncation=True, in memory that grows with the text alone."""

from __future__ import annotations

import random

import pytest

from bertd.glue.data.examples import Example
from bertd.glue.model.classifier import Classifier, load_classifier
from bertd.glue.tasks import TASKS
from bertd.glue.training.encoding import encode
from bertd.run.machine.processes import peak_memory_bytes
from tests.glue.tiny_export import WORDS, save_tiny_export


@pytest.fixture(scope="module", params=["bert", "megatron-bert", "roberta-prelayernorm"])
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    export = save_tiny_export(tmp_path_factory.mktemp("export"), family=request.param)
    return load_classifier(export, TASKS["rte"].head, max_length=32)


def made_up(num_words: int, draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=num_words))


@pytest.mark.parametrize("max_length", [8, 31, 32])
def test_pairs_and_texts_are_cut_as_transformers_cuts_them(classifier: Classifier, max_length: int) -> None:
    cut = Classifier(
        model=classifier.model,
        kind=classifier.kind,
        tokenizer=classifier.tokenizer,
        max_length=max_length,
        has_segments=classifier.has_segments,
    )
    draw = random.Random(1)
    sizes = [(first, second) for first in (0, 1, 5, 13, 14, 15, 29, 60) for second in (0, 1, 5, 13, 14, 15, 29, 60)]
    sizes += [(draw.randint(0, 40), draw.randint(0, 40)) for _ in range(100)]
    pairs = [Example(made_up(first, draw), made_up(second, draw), 1.0) for first, second in sizes]
    singles = [Example(pair.first, None, 0.0) for pair in pairs]
    for examples in (pairs, singles):
        encoded = encode(examples, cut)
        stock = classifier.tokenizer(
            [example.first for example in examples],
            [example.second or "" for example in examples] if examples is pairs else None,
            truncation=True,
            max_length=max_length,
            return_token_type_ids=classifier.has_segments,
        )
        assert [example.input_ids for example in encoded] == stock["input_ids"]
        assert {example.target for example in encoded} == {examples[0].target}
        if classifier.has_segments:
            assert [example.segments for example in encoded] == stock["token_type_ids"]


def test_long_pairs_take_memory_in_proportion_to_their_text(classifier: Classifier) -> None:
    """Eight pairs of 3,000 words a side took 1.4 GB when transformers cut them."""
    draw = random.Random(2)
    long = [Example(made_up(3000, draw), made_up(3000, draw), 0.0) for _ in range(8)]
    before_bytes = peak_memory_bytes()
    encoded = encode(long, classifier)
    assert {len(example.input_ids) for example in encoded} == {classifier.max_length}
    assert peak_memory_bytes() - before_bytes < 200 << 20

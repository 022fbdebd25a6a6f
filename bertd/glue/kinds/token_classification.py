"""A tag for each word of a sentence: entities, scored as wholes, or any other tags, scored by accuracy.

Shape letters: see bertd.glue.kinds.kind; S are the pieces of a batch's longest sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from bertd.errors import CorpusError
from bertd.glue.data.label_warnings import warn_of_alike, warn_of_constant, warn_of_unseen
from bertd.glue.data.own_task import draw_held_out
from bertd.glue.data.tagged import TaggedSentence, read_tagged
from bertd.glue.kinds.entities import OUTSIDE, is_entity_tag, looks_like_entity_tag, score_entities
from bertd.glue.kinds.kind import EncodedDevSet, Kind
from bertd.glue.model.classifier import Classifier
from bertd.glue.model.head import Head, HeadKind
from bertd.glue.training.batches import IGNORE_INDEX, EncodedExample
from bertd.glue.training.dev_predictions import SENTENCE_LENGTHS, TAG_NAMES, WORDS, SetPredictions
from bertd.glue.training.encode_words import EncodedWords, encode_words
from bertd.records import MetricName, OwnTask

_FEW_WORDS = 20
"""In so few words, any number of tags up to half of this is believed."""


@dataclass(frozen=True)
class TokenClassification(Kind):
    """A task of one's own in CoNLL's columns."""

    train: list[TaggedSentence]
    dev: list[TaggedSentence]
    dev_path: Path
    guess: str
    """The baseline's tag, which is also that of a word of which the tokenizer leaves nothing."""

    def encode_train(self, classifier: Classifier) -> list[EncodedExample]:
        """Tokenize the training sentences; one without a piece teaches nothing and is left out.

        Raises:
            CorpusError: the tokenizer leaves nothing of any of them.
        """
        encoded = [words.example for words in self._encode(self.train, classifier)]
        if not encoded:
            raise CorpusError(f"{self.name}: the tokenizer leaves nothing of the training words; check --text")
        return encoded

    def encode_dev(self, classifier: Classifier) -> list[EncodedDevSet]:
        """Tokenize the development sentences.

        Raises:
            CorpusError: the tokenizer leaves nothing of any of them.
        """
        encoded = self._encode(self.dev, classifier)
        if not encoded:
            raise CorpusError(f"{self.dev_path}: the tokenizer leaves nothing of its words; check --text")

        def decide(outputs_NC: Tensor) -> list[list[str]]:
            words = [sentence.words for sentence in self.dev]
            return read_tags(outputs_NC, encoded, words=words, names=self.head.names, fallback=self.guess)

        return [
            EncodedDevSet(
                self.dev_path,
                [words.example for words in encoded],
                lambda outputs_NC: self._measure(decide(outputs_NC)),
                decide=lambda outputs_NC: self._number_tags(decide(outputs_NC)),
                predictions_suffix=WORDS,
            )
        ]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the words' tags.

        Args:
            logits: BSC.
            targets: BS, ids of tags, or IGNORE_INDEX.
        """
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX)

    def baseline(self) -> dict[str, float]:
        """Every metric of the tag O for each word, or of the most common tag where there are no entities."""
        return self._measure([[self.guess] * len(sentence.words) for sentence in self.dev])

    def _encode(self, sentences: list[TaggedSentence], classifier: Classifier) -> list[EncodedWords]:
        ids = {name: number for number, name in enumerate(self.head.names)}
        tags = [[ids[tag] for tag in sentence.tags] for sentence in sentences]
        return encode_words([sentence.words for sentence in sentences], tags, classifier)

    def _number_tags(self, predicted: list[list[str]]) -> SetPredictions:
        ids = {name: number for number, name in enumerate(self.head.names)}
        return SetPredictions(
            np.array([ids[tag] for tags in predicted for tag in tags]),
            np.array([ids[tag] for sentence in self.dev for tag in sentence.tags]),
            {
                TAG_NAMES: np.array(self.head.names, dtype=np.str_),
                SENTENCE_LENGTHS: np.array([len(sentence.words) for sentence in self.dev]),
            },
        )

    def _measure(self, predicted: list[list[str]]) -> dict[str, float]:
        true = [sentence.tags for sentence in self.dev]
        pairs = [pair for row, tags in zip(predicted, true, strict=True) for pair in zip(row, tags, strict=True)]
        accuracy = sum(found == wanted for found, wanted in pairs) / len(pairs)
        entities = score_entities(predicted, true) if are_entities(self.head.names) else {}
        return {**entities, "accuracy": accuracy}


def read_token_classification(name: str, own: OwnTask) -> TokenClassification:
    """Read the sentences of a task.

    Raises:
        CorpusError: a file, a column or a tag is missing or wrong, or there are too few sentences.
    """
    train_path = Path(own.train)
    train = read_tagged(train_path, text=own.text[0], label=own.label)
    if own.dev is None:
        dev_path, num_all = train_path, len(train)
        held = draw_held_out([sentence.words for sentence in train], share=own.dev_share, seed=own.dev_seed)
        dev = [sentence for sentence in train if sentence.words in held]
        train = [sentence for sentence in train if sentence.words not in held]
        if not dev or not train:
            raise CorpusError(
                f"{own.train}: {num_all} sentences are too few to hold {own.dev_share:.0%} out; give --dev"
            )
        described = f"{len(dev)} of {num_all} sentences of {own.train}, held out with seed {own.dev_seed}"
        warnings = [("dev_held_out", f"{name}: no development set is given; it is {described}")]
    else:
        dev_path = Path(own.dev)
        dev = read_tagged(dev_path, text=own.text[0], label=own.label)
        described, warnings = own.dev, _warn_of_overlap(own, train, dev)
    names = _find_tags(own, train, dev)
    train_tags, dev_tags = ([tag for sentence in part for tag in sentence.tags] for part in (train, dev))
    warnings += warn_of_alike(own.train, names)
    warnings += warn_of_unseen(str(dev_path), train_tags, dev_tags, what="tags")
    warnings += warn_of_constant(described, dev_tags)
    has_entities = are_entities(names)
    if own.metric is MetricName.F1 and not has_entities:
        raise CorpusError(f"{own.train}: {_describe_foreign_tag(names)}, which f1 needs; give --metric accuracy")
    if own.metric is None and not has_entities and all(map(looks_like_entity_tag, names)) and OUTSIDE in names:
        message = f"{own.train}: {_describe_foreign_tag(names)}; words are scored by accuracy, and no entities"
        warnings.append(("tags_not_entities", message))
    headline = str(own.metric or (MetricName.F1 if has_entities else MetricName.ACCURACY))
    counts = Counter(tag for sentence in train for tag in sentence.tags)
    return TokenClassification(
        name=name,
        text=own.text,
        head=Head(HeadKind.TOKENS, names),
        headline=headline,
        selection_metric=headline,
        num_train=len(train),
        num_dev=len(dev),
        dev_description=described,
        warnings=warnings,
        train=train,
        dev=dev,
        dev_path=dev_path,
        guess=OUTSIDE if has_entities and OUTSIDE in names else min(counts, key=lambda tag: (-counts[tag], tag)),
    )


def _describe_foreign_tag(names: Sequence[str]) -> str:
    wrong = next((tag for tag in names if not is_entity_tag(tag)), OUTSIDE)
    return f"tag {wrong[:40]!r} marks no entity as IOB, BIOES, BILOU or BMES do (B-PER, I-PER, O)"


def are_entities(names: Sequence[str]) -> bool:
    """Whether tags mark entities: all are those of a scheme, and one is not O."""
    return all(is_entity_tag(name) for name in names) and any(name != OUTSIDE for name in names)


def read_tags(
    outputs_NC: Tensor,
    encoded: list[EncodedWords],
    *,
    words: Sequence[Sequence[str]],
    names: Sequence[str],
    fallback: str,
) -> list[list[str]]:
    """The tag of each word of each sentence.

    Args:
        outputs_NC: a row for each piece of each example, in their order.
        fallback: the tag of a word without a piece.
    """
    best = outputs_NC.argmax(dim=1).tolist()
    tags = [[fallback] * len(sentence) for sentence in words]
    first_row = 0
    for part in encoded:
        for word, place in part.places:
            tags[part.sentence][word] = names[best[first_row + place]]
        first_row += len(part.example.input_ids)
    return tags


def _find_tags(own: OwnTask, train: list[TaggedSentence], dev: list[TaggedSentence]) -> tuple[str, ...]:
    in_train = {tag for sentence in train for tag in sentence.tags}
    names = tuple(sorted(in_train | {tag for sentence in dev for tag in sentence.tags}))
    num_words = sum(len(sentence.words) for sentence in train)
    if len(names) > max(_FEW_WORDS, num_words) / 2:
        raise CorpusError(
            f"{own.train}: column {own.label} has {len(names)} different tags for {num_words} words, such as "
            f"{names[0][:40]!r}; name the column of tags with --label"
        )
    if len(in_train) < 2:
        raise CorpusError(f"{own.train}: its words have one tag, {names[0][:40]!r}; a task needs two or more")
    return names


def _warn_of_overlap(own: OwnTask, train: list[TaggedSentence], dev: list[TaggedSentence]) -> list[tuple[str, str]]:
    seen = {sentence.words for sentence in train}
    num_seen = sum(sentence.words in seen for sentence in dev)
    if not num_seen:
        return []
    message = f"{own.dev}: {num_seen} of {len(dev)} sentences are in {own.train}, too; the score is too high"
    return [("dev_overlap", message)]

"""Naive Bayes over words scores what scikit-learn's does."""

from __future__ import annotations

import random

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import accuracy_score, matthews_corrcoef
from sklearn.naive_bayes import MultinomialNB

from bertd.demo.package_task import LabeledSentence
from bertd.demo.word_counts import score_word_counts


def _examples(number: int, *, rng: random.Random) -> list[LabeledSentence]:
    """Words of one alphabet, those at its end more likely if the label is true."""
    examples: list[LabeledSentence] = []
    for index in range(number):
        label = index % 2 == 0
        words = rng.choices("abcdefgh", weights=[2 + label * place for place in range(8)], k=7)
        examples.append(LabeledSentence(" ".join(words).capitalize() + ".", label))
    return examples


def test_it_scores_as_scikit_learn_does() -> None:
    rng = random.Random(0)
    train, dev = _examples(100, rng=rng), _examples(60, rng=rng)
    vectorizer = CountVectorizer(token_pattern="[a-z]+")
    model = MultinomialNB(alpha=1.0)
    model.fit(vectorizer.fit_transform([one.sentence for one in train]), [one.is_from_package for one in train])
    predicted = model.predict(vectorizer.transform([one.sentence for one in dev]))
    labels = [one.is_from_package for one in dev]
    score = score_word_counts(train, dev)
    assert score.accuracy == pytest.approx(accuracy_score(labels, predicted))
    assert score.matthews == pytest.approx(matthews_corrcoef(labels, predicted))
    assert 0.55 < score.accuracy < 0.95, "neither chance nor perfect, so that the comparison means something"


def test_equal_words_for_both_labels_score_no_more_than_chance() -> None:
    train = [LabeledSentence("The same words.", label) for label in (True, False)]
    score = score_word_counts(train, train)
    assert (score.accuracy, score.matthews) == (0.5, 0.0)

"""Answers that are parts of a context: SQuAD 1.1, and 2.0, where a question may have none.

Of 2.0 a question gets no answer where its log-odds of none are above a threshold. The threshold is chosen after each
epoch on the development set for the best F1 there, as is usual since BERT's own results on 2.0.

Shape letters: see bertd.glue.kinds.kind; S are the tokens of a batch's longest input.
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
from bertd.glue.data.own_task import draw_held_out
from bertd.glue.data.squad import Question, SquadFile, locate_answer, read_squad
from bertd.glue.kinds.answers import GoldAnswers, choose_null_threshold, mean_score
from bertd.glue.kinds.kind import NULL_THRESHOLD, EncodedDevSet, Kind
from bertd.glue.kinds.spans import FoundAnswer, read_answers
from bertd.glue.model.classifier import Classifier
from bertd.glue.model.head import Head, HeadKind
from bertd.glue.training.batches import EncodedExample
from bertd.glue.training.dev_predictions import ANSWER_EXACT_MATCH, ANSWER_F1, QUESTIONS, SetPredictions
from bertd.glue.training.encode_questions import STRIDE, encode_questions
from bertd.records import SQUAD_TEXT, MetricName, OwnTask

Span = tuple[int, int]
"""An answer's first character in its context, and the one after its last."""


@dataclass(frozen=True)
class QuestionAnswering(Kind):
    """A task of one's own in SQuAD's JSON."""

    train: list[Question]
    spans: list[Span | None]
    """Of each training question; None if it has no answer."""
    dev: list[Question]
    dev_path: Path
    has_unanswerable: bool
    """Whether the development set is of version 2.0."""

    def largest_stride(self, max_length: int) -> int | None:
        """STRIDE, or less of a short input: half of what the question leaves, see encode_questions."""
        return min(STRIDE, max_length // 2)

    def encode_train(self, classifier: Classifier) -> list[EncodedExample]:
        """Tokenize the training questions into windows.

        Raises:
            CheckpointError: the tokenizer has no token for no answer.
            CorpusError: the tokenizer leaves nothing of any answer.
        """
        windows = encode_questions(self.train, self.spans, classifier)
        num_lost = len(self.train) - len({window.question for window in windows})
        if num_lost:
            print(f"{self.name}: {num_lost} questions are left out: the tokenizer leaves nothing of their answers")
        if not windows:
            raise CorpusError(f"{self.name}: the tokenizer leaves nothing of any answer; use another encoder")
        return [window.example for window in windows]

    def encode_dev(self, classifier: Classifier) -> list[EncodedDevSet]:
        """Tokenize the development questions into windows.

        Raises:
            CheckpointError: the tokenizer has no token for no answer.
        """
        windows = encode_questions(self.dev, None, classifier)
        golds = self._read_golds()

        def decide(outputs_N2: Tensor) -> tuple[list[str], float | None]:
            found = read_answers(outputs_N2.double().numpy(), windows, self.dev)
            threshold = self._choose_threshold(golds, found) if self.has_unanswerable else None
            return [one.decide(threshold) for one in found], threshold

        def score(outputs_N2: Tensor) -> dict[str, float]:
            predicted, threshold = decide(outputs_N2)
            metrics = self._measure(golds, predicted)
            return metrics if threshold is None else {**metrics, NULL_THRESHOLD: threshold}

        first_answers = np.array([next((answer.text for answer in q.answers), "") for q in self.dev], dtype=np.str_)

        def keep(outputs_N2: Tensor) -> SetPredictions:
            predicted, _ = decide(outputs_N2)
            scores = [gold.score(text) for gold, text in zip(golds, predicted, strict=True)]
            return SetPredictions(
                np.array(predicted, dtype=np.str_),
                first_answers,
                {
                    ANSWER_F1: np.array([one.f1 for one in scores]),
                    ANSWER_EXACT_MATCH: np.array([one.exact_match for one in scores]),
                },
            )

        return [
            EncodedDevSet(
                self.dev_path,
                [window.example for window in windows],
                score,
                decide=keep,
                predictions_suffix=QUESTIONS,
            )
        ]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of the answers' first and last tokens.

        Args:
            logits: BS2.
            targets: B2, the two tokens of each answer.
        """
        # Cross-entropy has its classes, here the tokens, in dimension 1.
        return F.cross_entropy(logits, targets)

    def baseline(self) -> dict[str, float]:
        """Every metric where no question gets an answer."""
        return self._measure(self._read_golds(), [""] * len(self.dev))

    def _read_golds(self) -> list[GoldAnswers]:
        return [
            GoldAnswers([answer.text for answer in question.answers], has_unanswerable=self.has_unanswerable)
            for question in self.dev
        ]

    @staticmethod
    def _choose_threshold(golds: list[GoldAnswers], found: list[FoundAnswer]) -> float:
        gains = [gold.score(one.text).f1 - gold.score("").f1 for gold, one in zip(golds, found, strict=True)]
        return choose_null_threshold(np.array([one.null_odds for one in found]), np.array(gains))

    def _measure(self, golds: list[GoldAnswers], predicted: list[str]) -> dict[str, float]:
        scores = [gold.score(text) for gold, text in zip(golds, predicted, strict=True)]
        whole = mean_score(scores)
        metrics = {"f1": whole.f1, "exact_match": whole.exact_match}
        if not self.has_unanswerable:
            return metrics
        for name, has_answer in (("has_answer", True), ("no_answer", False)):
            part = [score for gold, score in zip(golds, scores, strict=True) if gold.has_answer is has_answer]
            if part:
                of_part = mean_score(part)
                metrics |= {f"{name}_f1": of_part.f1, f"{name}_exact_match": of_part.exact_match}
        return metrics


def read_question_answering(name: str, own: OwnTask) -> QuestionAnswering:
    """Read the questions of a task.

    Raises:
        CorpusError: a file is missing or wrong, or there are too few questions.
    """
    train_path = Path(own.train)
    file = read_squad(train_path, needs_answers=True)
    questions, warnings = file.questions, []
    if own.dev is None:
        dev_file = file
        questions, dev, described = _hold_out(own, file)
        warnings.append(("dev_held_out", f"{name}: no development set is given; it is {described}"))
    else:
        dev_file = read_squad(Path(own.dev), needs_answers=True)
        dev, described = dev_file.questions, own.dev
        warnings += _warn_of_overlap(own, questions, dev)
    if dev_file.has_unanswerable:
        described += "; the threshold of no answer is chosen on it for the best f1, too"
    train, spans, lost = _locate_answers(own, questions)
    return QuestionAnswering(
        name=name,
        text=SQUAD_TEXT,
        head=Head(HeadKind.SPANS, ("start", "end")),
        headline=str(MetricName.F1),
        selection_metric=str(MetricName.F1),
        num_train=len(train),
        num_dev=len(dev),
        dev_description=described,
        warnings=[*warnings, *lost, *_warn_of_versions(own, train, dev_file)],
        train=train,
        spans=spans,
        dev=dev,
        dev_path=dev_file.path,
        has_unanswerable=dev_file.has_unanswerable,
    )


def _hold_out(own: OwnTask, file: SquadFile) -> tuple[list[Question], list[Question], str]:
    """Training and development questions, the latter with all the questions of their contexts, and their description.

    Raises:
        CorpusError: there are too few contexts.
    """
    held = draw_held_out([question.context for question in file.questions], share=own.dev_share, seed=own.dev_seed)
    dev = [question for question in file.questions if question.context in held]
    train = [question for question in file.questions if question.context not in held]
    num_all = len(file.questions)
    if not dev or not train:
        raise CorpusError(
            f"{own.train}: the contexts of {num_all} questions are too few to hold {own.dev_share:.0%} out; give --dev"
        )
    return train, dev, f"{len(dev)} of {num_all} questions of {own.train}, held out with seed {own.dev_seed}"


def _locate_answers(
    own: OwnTask, questions: list[Question]
) -> tuple[list[Question], list[Span | None], list[tuple[str, str]]]:
    """The questions that can be learnt from, where their answers are, and warnings of the others.

    Raises:
        CorpusError: no answer is where the file says.
    """
    kept: list[Question] = []
    spans: list[Span | None] = []
    counts: Counter[str] = Counter()
    lost: list[str] = []
    for question in questions:
        span = None
        if question.has_answer:
            located = ((answer, locate_answer(question.context, answer)) for answer in question.answers)
            answer, span = next(((a, found) for a, found in located if found), (question.answers[0], None))
            if span is None:
                lost.append(question.id)
                continue
            counts["moved"] += question.context[answer.start : (answer.start or 0) + len(answer.text)] != answer.text
        counts["answered"] += span is not None
        kept.append(question)
        spans.append(span)
    listed = ", ".join(repr(id[:40]) for id in lost[:3])
    if not counts["answered"]:
        why = (
            f"no answer is at its answer_start, in characters from 0 ({listed})"
            if lost
            else "no question has an answer"
        )
        raise CorpusError(f"{own.train}: {why}; there is nothing to learn: fix the answers")
    warnings = []
    if lost:
        message = (
            f"{own.train}: {len(lost)} of {len(questions)} questions are left out: the context does not have their "
            f"answers at answer_start ({listed})"
        )
        warnings.append(("answers_left_out", message))
    if counts["moved"]:
        message = f"{own.train}: {counts['moved']} answers begin in the word at answer_start but not there; corrected"
        warnings.append(("answers_moved", message))
    return kept, spans, warnings


def _warn_of_overlap(own: OwnTask, train: list[Question], dev: list[Question]) -> list[tuple[str, str]]:
    seen = {(question.context, question.text) for question in train}
    num_seen = sum((question.context, question.text) in seen for question in dev)
    if not num_seen:
        return []
    message = f"{own.dev}: {num_seen} of {len(dev)} questions are in {own.train}, too; the score is too high"
    return [("dev_overlap", message)]


def _warn_of_versions(own: OwnTask, train: Sequence[Question], dev: SquadFile) -> list[tuple[str, str]]:
    teaches_none = any(not question.has_answer for question in train)
    has_none = any(not question.answers for question in dev.questions)
    if teaches_none == has_none:
        return []
    message = (
        f"{own.train} has questions without an answer, and {dev.path} has none"
        if teaches_none
        else f"{dev.path} has questions without an answer, and {own.train} teaches none"
    )
    return [("unanswerable", message)]

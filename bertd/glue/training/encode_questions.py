"""Questions with their contexts to ids; a long context becomes several windows that overlap.

Each input has the question, cut to MAX_QUESTION_TOKENS, and then a window of the context. Windows begin STRIDE tokens
apart, or half of the room for the context if that is less. The target is the first and the last token of the answer;
the first token of the input, which is special, stands for no answer, also in a window that has not the whole answer.
Source: the BERT repository's run_squad.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bertd.errors import CheckpointError
from bertd.glue.data.squad import Question
from bertd.glue.model.classifier import Classifier
from bertd.glue.training.batches import EncodedExample
from bertd.glue.training.encoding import Template, batch_texts, read_template

STRIDE = 128
MAX_QUESTION_TOKENS = 64
NULL_PLACE = 0
"""The token that stands for no answer."""


@dataclass(frozen=True)
class EncodedWindow:
    """A question with a window of its context."""

    question: int
    """Index of the question."""
    example: EncodedExample
    first_place: int
    """Index in the input of the window's first token of the context."""
    offsets_W2: NDArray[np.int32]
    """The first character of each token of the window in the context, and the one after its last, without the white
    space around it; equal where the token has no other character."""


@dataclass(frozen=True)
class _Context:
    ids: list[int]
    offsets_W2: NDArray[np.int32]

    def find_tokens(self, span: tuple[int, int]) -> tuple[int, int] | None:
        """The first and last token that have a character of the span; None if none has."""
        starts, ends = self.offsets_W2.T
        found = np.flatnonzero((starts < span[1]) & (ends > span[0]) & (starts < ends))
        return (int(found[0]), int(found[-1])) if found.size else None


def encode_questions(
    questions: Sequence[Question], spans: Sequence[tuple[int, int] | None] | None, classifier: Classifier
) -> list[EncodedWindow]:
    """Tokenize questions, each into one window or more, in their order.

    Args:
        spans: the characters of each answer in its context, None for no answer; a question of whose answer the
            tokenizer leaves nothing is left out. Without spans there are no targets, and no question is left out.

    Raises:
        CheckpointError: the tokenizer puts no token before a text, which could stand for no answer.
    """
    backend: Tokenizer = classifier.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    template = read_template(backend, is_pair=True)
    if template.num_before <= NULL_PLACE:
        raise CheckpointError(
            "the tokenizer puts no special token before a text, which stands for no answer; use another encoder"
        )
    contexts = _encode_contexts([question.context for question in questions], backend)
    texts = [question.text.strip() for question in questions]
    question_ids = [
        encoding.ids
        for batch in batch_texts(texts)
        for encoding in backend.encode_batch_fast(batch, add_special_tokens=False)
    ]
    windows: list[EncodedWindow] = []
    for number, question in enumerate(questions):
        context = contexts[question.context]
        answer = None
        if spans is not None and (span := spans[number]) is not None:
            answer = context.find_tokens(span)
            if answer is None:
                continue
        windows += _make_windows(
            number, question_ids[number], context, answer, template=template, classifier=classifier
        )
    return windows


def _encode_contexts(texts: list[str], backend: Tokenizer) -> dict[str, _Context]:
    """Each context once, however many questions it has."""
    distinct = list(dict.fromkeys(texts))
    # Not the fast variant, which leaves the offsets out.
    encodings = (
        encoding
        for batch in batch_texts(distinct)
        for encoding in backend.encode_batch(batch, add_special_tokens=False)
    )
    contexts = {}
    for text, encoding in zip(distinct, encodings, strict=True):
        offsets = [_trim(text, start, end) for start, end in encoding.offsets]
        contexts[text] = _Context(encoding.ids, np.array(offsets, dtype=np.int32).reshape(-1, 2))
    return contexts


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The token's characters without the white space around them, which some tokenizers count to a word."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _make_windows(
    number: int,
    question_ids: list[int],
    context: _Context,
    answer: tuple[int, int] | None,
    *,
    template: Template,
    classifier: Classifier,
) -> list[EncodedWindow]:
    space = classifier.max_length - template.num_special
    question_ids = question_ids[: max(0, min(MAX_QUESTION_TOKENS, space // 2))]
    room = max(1, space - len(question_ids))
    step = min(STRIDE, max(1, room // 2))
    first_place = template.num_before_second + len(question_ids)
    windows: list[EncodedWindow] = []
    for start in range(0, max(1, len(context.ids) - room + step), step):
        window = slice(start, start + room)
        ids, types = template.fill((question_ids, context.ids[window]))
        target = (NULL_PLACE, NULL_PLACE)
        if answer is not None and start <= answer[0] and answer[1] < start + room:
            target = (first_place + answer[0] - start, first_place + answer[1] - start)
        segments = types if classifier.has_segments else None
        example = EncodedExample(ids, segments, target)
        windows.append(EncodedWindow(number, example, first_place, context.offsets_W2[window]))
    return windows

"""Sentences of words to ids, with the piece at which each word's tag is learnt and predicted: its first.

The words are joined with spaces and tokenized as any text, so that an encoder sees what it saw in its pretraining. A
sentence of more pieces than the model takes is split between words into several examples, and no word is left out; only
a single word that is too long is cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer

from bertd.glue.model.classifier import Classifier
from bertd.glue.training.batches import IGNORE_INDEX, EncodedExample
from bertd.glue.training.encoding import batch_texts, read_template


@dataclass(frozen=True)
class EncodedWords:
    """A sentence, or a part of one."""

    sentence: int
    """Index of the sentence."""
    example: EncodedExample
    """Its target has, for each piece, the id of its word's tag at the word's first piece, else IGNORE_INDEX."""
    places: list[tuple[int, int]]
    """Index of each word that has a piece, and of its first piece in the example."""


def encode_words(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]] | None, classifier: Classifier
) -> list[EncodedWords]:
    """Tokenize sentences; a word of which the tokenizer leaves nothing has no place.

    Args:
        tags: ids, as many as words; None if there are none.
    """
    backend: Tokenizer = classifier.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    template = read_template(backend, is_pair=False)
    room = max(1, classifier.max_length - template.num_special)
    encoded: list[EncodedWords] = []
    texts = [" ".join(words) for words in sentences]
    encodings = (
        encoding for batch in batch_texts(texts) for encoding in backend.encode_batch(batch, add_special_tokens=False)
    )
    for number, (words, encoding) in enumerate(zip(sentences, encodings, strict=True)):
        for part in _split(_group_by_word(words, encoding), room=room):
            ids: list[int] = []
            places: list[tuple[int, int]] = []
            for word, pieces in part:
                places.append((word, template.num_before + len(ids)))
                ids += pieces
            input_ids, types = template.fill((ids,))
            target = [IGNORE_INDEX] * len(input_ids)
            if tags is not None:
                for word, place in places:
                    target[place] = tags[number][word]
            segments = types if classifier.has_segments else None
            encoded.append(EncodedWords(number, EncodedExample(input_ids, segments, target), places))
    return encoded


def _group_by_word(words: Sequence[str], encoding: Encoding) -> list[tuple[int, list[int]]]:
    """The pieces of each word that has some."""
    starts: list[int] = []
    position = 0
    for text in words:
        starts.append(position)
        position += len(text) + 1
    groups: list[tuple[int, list[int]]] = []
    for piece, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        # Its last character: a piece may begin with the space before its word.
        word = bisect_right(starts, max(start, end - 1)) - 1
        if groups and groups[-1][0] == word:
            groups[-1][1].append(piece)
        else:
            groups.append((word, [piece]))
    return groups


def _split(groups: list[tuple[int, list[int]]], *, room: int) -> Iterator[list[tuple[int, list[int]]]]:
    part: list[tuple[int, list[int]]] = []
    num_pieces = 0
    for word, pieces in groups:
        kept = pieces[:room]
        if part and num_pieces + len(kept) > room:
            yield part
            part, num_pieces = [], 0
        part.append((word, kept))
        num_pieces += len(kept)
    if part:
        yield part

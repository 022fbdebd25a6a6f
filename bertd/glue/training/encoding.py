"""Examples to ids, cut to the model's length: what transformers gives with `truncation=True`, in bounded memory.

transformers keeps what it cuts off, and of a pair every piece of one side with every piece of the other: 120 pairs of
3,000 words a side took 23 GB. So each side is encoded alone, its ids are cut, and the special tokens are put around
them as the tokenizer does around any text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Encoding, Tokenizer

from bertd.glue.data.examples import Example
from bertd.glue.model.classifier import Classifier
from bertd.glue.training.batches import EncodedExample

_BATCH_CHARACTERS = 1 << 20
"""Text encoded at once: its encodings take a few hundred bytes a token."""
_ANY_TEXT = "a"


@dataclass(frozen=True)
class Template:
    """What the tokenizer puts around the sides of an example."""

    parts: tuple[tuple[int, int | None, int], ...]
    """In their order: a side (0 or 1) and None, or -1 and the id of a special token; then the token type."""

    @cached_property
    def num_special(self) -> int:
        """Special tokens around the sides."""
        return sum(side < 0 for side, _, _ in self.parts)

    @cached_property
    def num_before(self) -> int:
        """Special tokens before the first side."""
        return next(index for index, (side, _, _) in enumerate(self.parts) if side >= 0)

    @cached_property
    def num_before_second(self) -> int:
        """Special tokens before the second side of a pair."""
        sides = [side for side, _, _ in self.parts]
        return sides[: sides.index(1)].count(-1)

    def fill(self, sides: tuple[list[int], ...]) -> tuple[list[int], list[int]]:
        """The ids and the token types of an example."""
        ids: list[int] = []
        types: list[int] = []
        for side, special_id, token_type in self.parts:
            added = sides[side] if special_id is None else [special_id]
            ids += added
            types += [token_type] * len(added)
        return ids, types


def encode(examples: list[Example], classifier: Classifier) -> list[EncodedExample]:
    """Tokenize examples; a pair that is too long is truncated from its longer sentence."""
    backend: Tokenizer = classifier.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    is_pair = examples[0].second is not None
    template = read_template(backend, is_pair=is_pair)
    room = max(0, classifier.max_length - template.num_special)
    firsts = _encode_texts([example.first for example in examples], backend, limit=room)
    sides: list[tuple[list[int], ...]]
    if is_pair:
        seconds = _encode_texts([example.second or "" for example in examples], backend, limit=room)
        sides = [_truncate_pair(first, second, room=room) for first, second in zip(firsts, seconds, strict=True)]
    else:
        sides = [(first.ids,) for first in firsts]
    encoded = []
    for example, ids_by_side in zip(examples, sides, strict=True):
        ids, types = template.fill(ids_by_side)
        segments = types if classifier.has_segments else None
        encoded.append(EncodedExample(input_ids=ids, segments=segments, target=example.target))
    return encoded


def read_template(backend: Tokenizer, *, is_pair: bool) -> Template:
    """What the tokenizer puts around a text, or around the two of a pair."""
    encoding: Encoding = backend.encode(_ANY_TEXT, _ANY_TEXT if is_pair else None)
    parts: list[tuple[int, int | None, int]] = []
    for side, special_id, token_type in zip(encoding.sequence_ids, encoding.ids, encoding.type_ids, strict=True):
        part = (-1, special_id, token_type) if side is None else (side, None, token_type)
        # A side of several tokens is one part.
        if side is None or not parts or parts[-1][0] != side:
            parts.append(part)
    return Template(tuple(parts))


@dataclass(frozen=True)
class _Side:
    """The beginning of a text."""

    ids: list[int]
    length: int
    """Tokens of the whole text."""


def _encode_texts(texts: list[str], backend: Tokenizer, *, limit: int) -> list[_Side]:
    """The first `limit` ids of each text."""
    sides: list[_Side] = []
    for batch in batch_texts(texts):
        encodings = backend.encode_batch_fast(batch, add_special_tokens=False)
        sides += [_Side(list(encoding.ids[:limit]), len(encoding)) for encoding in encodings]
    return sides


def batch_texts(texts: list[str]) -> Iterator[list[str]]:
    """Texts that are encoded at once, in their order."""
    batch: list[str] = []
    num_characters = 0
    for text in texts:
        batch.append(text)
        num_characters += len(text)
        if num_characters >= _BATCH_CHARACTERS:
            yield batch
            batch, num_characters = [], 0
    yield batch


def _truncate_pair(first: _Side, second: _Side, *, room: int) -> tuple[list[int], list[int]]:
    """Cut the longer side to what the shorter leaves, or both to a half each, as tokenizers' longest_first does."""
    shorter, longer = sorted((first.length, second.length))
    if shorter + longer > room:
        longer = shorter if shorter > room else max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = shorter + room % 2
    is_first_longer = first.length > second.length
    num_first, num_second = (longer, shorter) if is_first_longer else (shorter, longer)
    return first.ids[:num_first], second.ids[:num_second]

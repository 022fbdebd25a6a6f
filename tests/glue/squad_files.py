"""Made-up questions in SQuAD's JSON whose answers an encoder of a few thousand weights finds."""

from __future__ import annotations

import json
import random
from pathlib import Path

_PLAIN = ["a", "b", "c", "d", "e", "f", "g", "h"]
_PETS = ("cat", "dog")


def draw_paragraph(draw: random.Random, *, number: int, has_answer: bool) -> dict[str, object]:
    """A context with a pet and what it did, which is the answer; without an answer it has neither."""
    words = draw.choices(_PLAIN, k=draw.randint(3, 20))
    answers = []
    if has_answer:
        answer = f"{draw.choice(_PETS)} {draw.choice(('sat', 'ran'))}"
        words.insert(draw.randrange(len(words) + 1), answer)
        answers = [{"text": answer, "answer_start": " ".join(words).index(answer)}]
    return {"context": " ".join(words), "qas": [{"id": f"q{number}", "question": "good?", "answers": answers}]}


def write_squad(path: Path, *, size: int, none_every: int | None = None) -> Path:
    """Write `size` questions; every `none_every`-th has no answer, and the file is of version 2.0."""
    draw = random.Random(size)
    paragraphs = [
        draw_paragraph(draw, number=number, has_answer=none_every is None or number % none_every > 0)
        for number in range(size)
    ]
    return write_paragraphs(path, paragraphs, version="1.1" if none_every is None else "v2.0")


def write_paragraphs(path: Path, paragraphs: list[dict[str, object]], *, version: str = "1.1") -> Path:
    path.write_text(json.dumps({"version": version, "data": [{"title": "pets", "paragraphs": paragraphs}]}))
    return path


def ask(context: str, *answers: tuple[str, int], id: str = "q", question: str = "good?") -> dict[str, object]:
    """A paragraph with one question."""
    given = [{"text": text, "answer_start": start} for text, start in answers]
    return {"context": context, "qas": [{"id": id, "question": question, "answers": given}]}

"""Translate what the tokenizers library raises to RuntimeError.

The library raises bare Exception; where its Rust code panics, as on the damaged table of a normalizer, it raises a
class that is not an Exception and that no module exports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_PANIC = "PanicException"


@contextmanager
def translate_tokenizer_errors() -> Iterator[None]:
    """Translate the library's errors; all others pass unchanged.

    Raises:
        RuntimeError: the library refused, or panicked.
    """
    try:
        yield
    except BaseException as error:
        # Not Exception: a panic is none, and its class can be named by its name alone. All else is raised again.
        if type(error) is Exception or type(error).__name__ == _PANIC:
            raise RuntimeError(str(error)) from error
        raise

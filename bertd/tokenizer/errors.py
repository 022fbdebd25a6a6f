"""What the tokenizers library raises, as an error that can be named.

It raises bare Exception; and where its Rust code panics, as on the damaged table of a normalizer, a class that is no
Exception and that no module exports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_PANIC = "PanicException"


@contextmanager
def translate_tokenizer_errors() -> Iterator[None]:
    """Let everything else pass as it is.

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

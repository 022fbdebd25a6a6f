"""Check, while the corpus is tokenized, that stock transformers opens the tokenizer's files as the same tokenizer.

A process of its own: transformers imports torch, which preparing does not need.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer

from bertd.errors import VocabularyError
from bertd.run.machine.child_processes import start_child
from bertd.tokenizer.save import tokenizer_files

_STANDARD_ERROR_BYTES = 4096


@contextmanager
def checking_stock_ids(tokenizer: Tokenizer, *, place: str) -> Iterator[None]:
    """Compare the ids while the body runs; wait for the result after it.

    Args:
        place: the vocabulary's name in messages.

    Raises:
        VocabularyError: transformers gives other ids for some text.
    """
    with TemporaryDirectory(prefix="bertd-tokenizer-") as folder:
        for name, content in tokenizer_files(tokenizer, place=place).items():
            (Path(folder) / name).write_bytes(content)
        # In its own group, so that Ctrl-C reaches only this process, which then ends the child.
        process = start_child(
            [sys.executable, "-m", "bertd.tokenizer.check_stock", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        try:
            yield
            _, errors = process.communicate()
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            lines = errors[-_STANDARD_ERROR_BYTES:].decode(errors="replace").strip().splitlines()
            reason = lines[-1].replace(folder, place) if lines else f"it ended with status {process.returncode}"
            raise VocabularyError(f"{reason} (checked by python -m bertd.tokenizer.check_stock)")

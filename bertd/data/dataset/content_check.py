"""Compare the content of a data set's files with the hashes in its manifest, many pieces at the same time.

Threads are enough: hashing and reading release Python's lock. Each holds one chunk, so memory does not grow with the
data.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bertd.run.dataset_manifest import FileFacts

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class _Piece:
    """A range of a file that has a hash of its own."""

    name: str
    begin: int
    size: int
    sha256: str


def find_changed_content(root: Path, files: Mapping[str, FileFacts]) -> dict[str, str]:
    """What is wrong with each file whose content differs or cannot be read.

    Args:
        files: by their path inside `root`; each has the size that its facts say.
    """
    pieces = _pieces(files)
    lock = threading.Lock()
    damages: dict[str, str] = {}

    def check_pieces() -> None:
        while True:
            with lock:
                piece = next(pieces, None)
            if piece is None:
                return
            damage = _damage(root / piece.name, piece)
            if damage is not None:
                with lock:
                    damages.setdefault(piece.name, damage)

    threads = [threading.Thread(target=check_pieces, name="verify") for _ in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: damages[name] for name in files if name in damages}


def _pieces(files: Mapping[str, FileFacts]) -> Iterator[_Piece]:
    """All pieces, the largest files first, so that the threads end together."""
    for name, facts in sorted(files.items(), key=lambda item: -item[1].size):
        if facts.pieces is None:
            yield _Piece(name, 0, facts.size, facts.sha256)
            continue
        for number, sha256 in enumerate(facts.pieces.sha256):
            begin = number * facts.pieces.bytes
            yield _Piece(name, begin, min(facts.pieces.bytes, facts.size - begin), sha256)


def _damage(path: Path, piece: _Piece) -> str | None:
    digest, end = hashlib.sha256(), piece.begin + piece.size
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(piece.begin)
            while file.tell() < end and (chunk := file.read(min(_CHUNK_BYTES, end - file.tell()))):
                digest.update(chunk)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if digest.hexdigest() == piece.sha256 else "has changed content"

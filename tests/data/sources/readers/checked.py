"""Read with any reader, and check that nothing is lost: characters kept and left out are those read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from bertd.data.sources.readers.document import Block, Document, Reader, ReadResult, Skipped, SkipReason
from bertd.data.sources.readers.left_out import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES

Reading = str | SkipReason


def checked(results: Iterable[ReadResult]) -> Iterator[ReadResult]:
    """The same results, each with its sum checked."""
    for result in results:
        if isinstance(result, Skipped):
            assert result.read >= 0
        else:
            assert result.read == len(result.text) + result.left_out.total
            assert all(count > 0 for count in result.left_out.characters.values())
            for samples in result.left_out.samples.values():
                assert len(samples) <= MAX_SAMPLES
                assert all(len(sample) <= MAX_SAMPLE_CHARACTERS for _, sample in samples)
        yield result


def readings_of(reader: Reader, blocks: Iterable[Block]) -> list[Reading]:
    """Each document's text, or why it has none."""
    results = checked(result for block in blocks for result in reader.documents(block.content))
    return [result.text if isinstance(result, Document) else result.reason for result in results]


def readings(reader: Reader, content: bytes, *, block_bytes: int = 1 << 20) -> list[Reading]:
    """The readings of a file."""
    return readings_of(reader, reader.blocks(io.BytesIO(content), block_bytes=block_bytes))


def results(reader: Reader, content: bytes, *, block_bytes: int = 1 << 20) -> list[ReadResult]:
    """The documents of a file, with what was left out of them."""
    blocks = reader.blocks(io.BytesIO(content), block_bytes=block_bytes)
    return list(checked(result for block in blocks for result in reader.documents(block.content)))

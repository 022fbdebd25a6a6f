"""A data set of any size that takes no room on the disk: files with holes, and real tokens at their begin and end.

A hole reads as token 0. The hashes in the manifest are made up, so it cannot be verified.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from bertd.data.dataset.shards import OFFSET, TOKENIZER_FOLDER, DataSet, split_file_names
from bertd.run.dataset_manifest import MANIFEST_FILE, FileFacts, SplitCounts

_DOCUMENT_TOKENS = 1000
_SENTENCE_TOKENS = 20


def stretch_dataset(small: Path, out: Path, *, stream_tokens: int) -> Path:
    """Make a data set with the train split of another one at its begin and at its end, and holes between.

    Args:
        small: a prepared data set; its validation split and its tokenizer are copied.
        stream_tokens: length of the new train split's stream.

    Raises:
        OSError: the file system takes no file of that size.
    """
    dataset = DataSet.open(small)
    out.mkdir(parents=True)
    shutil.copytree(dataset.tokenizer_dir, out / TOKENIZER_FOLDER)
    for name in split_file_names("validation"):
        shutil.copy(small / name, out / name)
    documents = stream_tokens // _DOCUMENT_TOKENS
    counts = SplitCounts(
        documents=documents, sentences=stream_tokens // _SENTENCE_TOKENS, tokens=stream_tokens - documents
    )
    tokens = np.asarray(dataset.split("train").tokens[: min(1 << 20, stream_tokens // 2)])
    tokens_name, documents_name, sentences_name = split_file_names("train")
    for name, length, size in (
        (tokens_name, stream_tokens, dataset.dtype.itemsize),
        (documents_name, counts.documents + 1, OFFSET.itemsize),
        (sentences_name, counts.sentences + 1, OFFSET.itemsize),
    ):
        with (out / name).open("wb") as file:
            file.truncate(length * size)
            if name == tokens_name:
                file.write(tokens.tobytes())
                file.seek((length - len(tokens)) * size)
                file.write(tokens.tobytes())
            else:
                file.seek((length - 1) * size)
                file.write(np.array([stream_tokens], dtype=OFFSET).tobytes())
    files = {
        name: facts
        if name.startswith(f"{TOKENIZER_FOLDER}/") or name in split_file_names("validation")
        else FileFacts(size=(out / name).stat().st_size, sha256="0" * 64)
        for name, facts in dataset.manifest.files.items()
        if (out / name).exists()
    }
    manifest = dataset.manifest.model_copy(
        update={"files": files, "splits": {"train": counts, "validation": dataset.manifest.splits["validation"]}}
    )
    (out / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1))
    return out

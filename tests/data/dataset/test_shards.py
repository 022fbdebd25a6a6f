"""Data sets: what opens, what is refused, and with which message."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bertd.data.dataset.shards import DataSet
from bertd.errors import ShardError, VocabularyError


@pytest.fixture
def root(dataset: DataSet, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset.root, tmp_path / "copy"))


def edit_manifest(root: Path, **changes: object) -> None:
    path = root / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_whole_data_set_opens_and_verifies(root: Path) -> None:
    assert DataSet.open(root, verify=True).manifest.splits.keys() == {"train", "validation"}


def test_a_copy_has_the_same_fingerprint_and_another_manifest_another(root: Path, dataset: DataSet) -> None:
    assert DataSet.open(root).fingerprint == dataset.fingerprint
    edit_manifest(root, language="de")
    assert DataSet.open(root).fingerprint != dataset.fingerprint


def test_offsets_mark_documents_and_sentences_in_the_stream(dataset: DataSet) -> None:
    split = dataset.split("train")
    sep = dataset.manifest.tokenizer.sep
    assert split.documents[0] == split.sentences[0] == 0
    assert split.documents[:][-1] == split.sentences[:][-1] == len(split.tokens)
    assert np.flatnonzero(split.tokens[:] == sep).tolist() == (split.documents[1:] - 1).tolist()
    assert set(split.documents[:].tolist()) <= set(split.sentences[:].tolist())
    counts = dataset.manifest.splits["train"]
    assert split.num_documents == counts.documents and split.num_sentences == counts.sentences
    assert len(split.tokens) == counts.tokens + counts.documents == counts.stream_tokens


def test_an_absent_data_set_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no data set.*make it with bertd data prepare"):
        DataSet.open(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["manifest.json", "train.tokens"])
@pytest.mark.parametrize("what", ["pipe", "folder", "device", "circle"])
def test_what_is_no_file_is_refused_and_not_waited_for(root: Path, name: str, what: str) -> None:
    place = root / name
    place.unlink()
    if what == "pipe":
        os.mkfifo(place)
    elif what == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero" if what == "device" else place)
    with pytest.raises(ShardError, match=r"is not a file|cannot be read|Too many levels"):
        DataSet.open(root)


def test_a_newer_format_is_refused(root: Path) -> None:
    edit_manifest(root, format=99)
    with pytest.raises(ShardError, match="format 99.*use a newer bertd"):
        DataSet.open(root)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "\udc80"])
def test_a_damaged_manifest_is_refused(root: Path, content: str) -> None:
    (root / "manifest.json").write_text(content, errors="surrogateescape")
    with pytest.raises(ShardError, match="prepare the data set again"):
        DataSet.open(root)


def test_a_file_of_another_size_is_named(root: Path) -> None:
    with (root / "train.tokens").open("ab") as file:
        file.write(b"\0\0")
    (root / "validation.documents").unlink()
    with pytest.raises(ShardError, match="train.tokens has .* bytes and not .*validation.documents cannot be read"):
        DataSet.open(root)


def test_a_flipped_bit_is_found_by_verification_alone(root: Path) -> None:
    path = root / "train.tokens"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    DataSet.open(root)
    with pytest.raises(ShardError, match="damaged: train.tokens has changed content; prepare"):
        DataSet.open(root, verify=True)


def test_another_tokenizer_of_equal_size_is_refused(root: Path) -> None:
    path = root / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text().replace('"river"', '"revir"'))
    with pytest.raises(VocabularyError, match="not the tokenizer that the shards were made with"):
        DataSet.open(root)


def test_counts_that_do_not_fit_the_files_are_refused(root: Path) -> None:
    splits = json.loads((root / "manifest.json").read_text())["splits"]
    splits["train"]["documents"] += 1
    edit_manifest(root, splits=splits)
    with pytest.raises(ShardError, match="does not hold the .* entries that manifest.json counts"):
        DataSet.open(root).split("train")

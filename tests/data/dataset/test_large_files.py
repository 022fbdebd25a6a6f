"""300 billion tokens, in files with holes: offsets, order, inspection, and checks of content piece by piece."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bertd.bench.scale.sparse_data import stretch_dataset
from bertd.data.batches.rows import open_sequences
from bertd.data.batches.sampler import locate_sequences
from bertd.data.dataset.shards import DataSet, split_file_names
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.errors import ShardError
from bertd.run.data_mixture import read_mixture
from bertd.run.dataset_manifest import MANIFEST_FILE, read_manifest

STREAM_TOKENS = 300_000_000_000
MAX_PEAK_KIB = 1 << 20
_INSPECT = """
import re, sys
from bertd.data.commands.inspect import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, dataset: DataSet) -> Path:
    """300 billion tokens; its files would have 720 GB."""
    folder = tmp_path_factory.mktemp("large")
    try:
        return stretch_dataset(dataset.root, folder / "set", stream_tokens=STREAM_TOKENS)
    except OSError as error:
        pytest.skip(f"this file system has no file of 600 GB with holes: {error}")


def test_rows_beyond_32_bits_are_read(large: Path, dataset: DataSet) -> None:
    opened = DataSet.open(large)
    sequences = open_sequences(opened, split="train", sequence_length=128, packing="full")
    assert sequences.num_sequences == STREAM_TOKENS // 126 > 2**31
    small = dataset.split("train").tokens
    last = sequences.num_sequences - 1
    begin = last * 126 - (STREAM_TOKENS - len(small))
    assert begin >= 0
    rows = sequences.rows(np.array([last, 0, last // 2]))
    assert rows[0, 1:-1].tolist() == np.asarray(small[begin : begin + 126]).tolist()
    assert rows[1, 1:-1].tolist() == np.asarray(small[:126]).tolist()
    assert not rows[2, 1:-1].any()
    assert (large / split_file_names("train")[0]).stat().st_blocks * 512 < 1 << 26


def test_the_permutation_is_one_beyond_32_bits() -> None:
    num = STREAM_TOKENS // 126
    middle = num // 2 - 50_000
    located = locate_sequences(np.arange(middle, middle + 100_000), num_sequences=num, seed=9)
    assert len(set(located.indices.tolist())) == 100_000
    assert located.indices.min() >= 0 and located.indices.max() < num
    # Spread over all of it, beyond 32 bits too: the mean of so many is within 1 % of the middle.
    assert (located.indices > 2**31).sum() > 5000
    assert abs(located.indices.mean() / num - 0.5) < 0.01
    # The edge of an epoch, and keys of a late one.
    edge = locate_sequences(np.array([7 * num - 1, 7 * num]), num_sequences=num, seed=9)
    assert edge.epochs.tolist() == [6, 7]
    assert (edge.keys >> 40).tolist() == [6, 7]


def test_it_is_inspected_with_little_memory_and_sentences_are_refused(large: Path) -> None:
    command = [sys.executable, "-c", _INSPECT, str(large), "--json", "--sequences", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert int(done.stderr) < MAX_PEAK_KIB
    tree = json.loads(done.stdout)
    assert [(one["packing"], one["sequences"]) for one in tree["packings"]] == [("full", STREAM_TOKENS // 126)]
    assert len(tree["shown"]) == 3
    with pytest.raises(ShardError, match=r'whole sentences.*bounded to 268,435,456; set data.packing = "full"'):
        open_sequences(DataSet.open(large), split="train", sequence_length=128, packing="sentences")
    with pytest.raises(ShardError, match="whole sentences"):
        read_mixture({str(large): 1}).require_sequences("train", sequence_length=128, packing="sentences")


def test_a_large_file_is_hashed_and_checked_in_pieces(
    tmp_path: Path, corpus: Path, vocab: Path, dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.data.prepare.splits.split_writer.PIECE_BYTES", 1000)
    options = PrepareOptions(vocab=str(vocab), validation_share=0.1)
    out = tmp_path / "set"
    prepare([str(corpus)], out=out, options=options, processes=1)
    name = split_file_names("train")[0]
    facts, whole = read_manifest(out).files[name], dataset.manifest.files[name]
    assert facts.pieces is not None and len(facts.pieces.sha256) == -(-facts.size // 1000)
    assert (facts.size, facts.sha256) == (whole.size, whole.sha256) and whole.pieces is None
    assert '"pieces"' not in (dataset.root / MANIFEST_FILE).read_text()
    DataSet.open(out, verify=True)

    content = bytearray((out / name).read_bytes())
    content[-1] ^= 1
    (out / name).write_bytes(content)
    with pytest.raises(ShardError, match=f"{name} has changed content"):
        DataSet.open(out, verify=True)

"""Preparing: counts, determinism, resuming, and what bad input does."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bertd.data.batches.rows import open_sequences
from bertd.data.commands.prepare import main
from bertd.data.dataset.locate import resolve_data_path
from bertd.data.dataset.shards import DataSet
from bertd.data.dataset.text_quality import read_quality
from bertd.data.prepare import pipeline
from bertd.data.prepare import staging_dir as workspace_module
from bertd.data.prepare.parts import task_planner
from bertd.data.prepare.parts.part_file import PartFacts
from bertd.data.prepare.parts.tokenize_part import LetterCounts, PartTask, PartTokenizer, count_letters
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.prepare.progress import ReadingProgress
from bertd.data.prepare.staging_dir import open_workspace
from bertd.errors import CorpusError, OutputExistsError, ShardError, StorageError, VocabularyError
from bertd.run.atomic_files import exchange_folders
from bertd.run.dataset_manifest import Filters, HeldOutPieces, Manifest
from bertd.tokenizer.tokenizer import open_tokenizer
from tests.data.conftest import made_up_text
from tests.waiting import wait_for

Prepare = Callable[..., Manifest]


@pytest.fixture
def options(vocab: Path) -> PrepareOptions:
    return PrepareOptions(vocab=str(vocab), validation_share=0.1)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few documents, so that a small corpus has many."""
    monkeypatch.setattr(task_planner, "PART_BYTES", 4000)
    monkeypatch.setattr(task_planner, "BLOCK_BYTES", 1000)


def write_jsonl(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def decoded_documents(dataset: DataSet, split: str) -> list[str]:
    tokenizer = open_tokenizer(str(dataset.tokenizer_dir))
    arrays = dataset.split("train" if split == "train" else "validation")
    bounds = zip(arrays.documents[:-1], arrays.documents[1:], strict=True)
    return [tokenizer.decode(arrays.tokens[first : last - 1].tolist()) for first, last in bounds]


def test_counts_equal_an_independent_count(tmp_path: Path, corpus: Path, options: PrepareOptions, vocab: Path) -> None:
    texts = [made_up_text(1000 + number, sentences=9) for number in range(80)]
    lines = write_jsonl(tmp_path / "lines.jsonl", [*texts, "", texts[0]])
    manifest = prepare([f"text:{corpus}", f"jsonl:{lines}"], out=tmp_path / "set", options=options, processes=1)

    tokenizer = open_tokenizer(str(vocab))
    documents = [path.read_text() for path in sorted(corpus.iterdir())] + texts
    hashes = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") for text in documents]
    for name, wanted in {"validation": True, "train": False}.items():
        mine = [text for text, number in zip(documents, hashes, strict=True) if (number < 0.1 * 2**64) == wanted]
        counts = manifest.splits["validation" if wanted else "train"]
        assert counts.documents == len(mine), name
        assert counts.tokens == sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in mine)
        # Every made-up sentence ends in a full stop, and nothing else does.
        assert counts.sentences == sum(text.count(".") for text in mine)
    text_source, json_source = manifest.sources
    assert (text_source.kind, text_source.files, text_source.read) == ("text", 60, 60)
    assert text_source.bytes == sum(path.stat().st_size for path in corpus.iterdir())
    assert json_source.read == 82 and json_source.kept.documents == 80
    assert json_source.skipped == {"exact duplicate": 1, "no text": 1}


def test_the_stream_holds_the_documents_in_order(tmp_path: Path, options: PrepareOptions) -> None:
    texts = [made_up_text(number, sentences=4) for number in range(20)]
    lines = write_jsonl(tmp_path / "lines.jsonl", texts)
    prepare([str(lines)], out=tmp_path / "set", options=options, processes=1)
    dataset = DataSet.open(tmp_path / "set", verify=True)
    train, validation = decoded_documents(dataset, "train"), decoded_documents(dataset, "validation")
    normal = [text.lower().replace("\n", " ") for text in texts]
    assert [text for text in normal if text in set(train)] == train
    assert [text for text in normal if text in set(validation)] == validation
    assert len(train) + len(validation) == 20 and validation


def test_stock_transformers_loads_the_tokenizer_of_a_data_set(dataset: DataSet) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(dataset.tokenizer_dir)
    ours = open_tokenizer(str(dataset.tokenizer_dir))
    sentence = "The bright river [MASK] under a stone."
    assert loaded(sentence)["input_ids"] == ours.encode(sentence).ids
    assert loaded.mask_token_id == dataset.manifest.tokenizer.mask


def test_splits_are_disjoint_and_stay_where_they_are_when_sources_come_and_go(
    tmp_path: Path, options: PrepareOptions
) -> None:
    groups = [[made_up_text(100 * group + number, sentences=3) for number in range(100)] for group in range(3)]
    files = [write_jsonl(tmp_path / f"{number}.jsonl", group) for number, group in enumerate(groups)]

    def splits(*chosen: Path, out: str) -> tuple[set[str], set[str]]:
        prepare([str(file) for file in chosen], out=tmp_path / out, options=options, processes=1)
        dataset = DataSet.open(tmp_path / out)
        return set(decoded_documents(dataset, "train")), set(decoded_documents(dataset, "validation"))

    train, validation = splits(files[0], files[1], out="two")
    more_train, more_validation = splits(files[2], files[1], files[0], out="three")
    assert not more_train & more_validation
    assert train < more_train and validation < more_validation
    assert 10 < len(more_validation) < 55


def test_a_corpus_too_small_for_the_share_validates_on_a_whole_document(tmp_path: Path, vocab: Path) -> None:
    lines = write_jsonl(tmp_path / "lines.jsonl", [made_up_text(number, sentences=3) for number in range(5)])
    options = PrepareOptions(vocab=str(vocab), validation_share=1e-9)
    manifest = prepare([str(lines)], out=tmp_path / "set", options=options, processes=1)
    assert manifest.splits["validation"].documents == 1 and manifest.splits["train"].documents == 4


def test_no_validation_is_made_where_none_is_asked_for(tmp_path: Path, corpus: Path, vocab: Path) -> None:
    options = PrepareOptions(vocab=str(vocab), validation_share=0.0)
    manifest = prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
    assert manifest.splits["validation"].documents == 0 and manifest.splits["train"].documents == 60
    assert DataSet.open(tmp_path / "set", verify=True).split("validation").tokens[:].tolist() == []


@pytest.mark.usefixtures("small_parts")
def test_one_process_or_three_give_the_same_bytes(tmp_path: Path, corpus: Path, options: PrepareOptions) -> None:
    for processes in (1, 3):
        prepare([str(corpus)], out=tmp_path / str(processes), options=options, processes=processes)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("seed", range(4))
def test_an_interrupted_prepare_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, corpus: Path, options: PrepareOptions, dataset: DataSet, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    draw = random.Random(seed)
    made: list[int] = []
    make = PartTokenizer.make_part

    def make_or_die(self: PartTokenizer, task: PartTask) -> PartFacts:
        if draw.random() < 0.15:
            raise KeyboardInterrupt
        made.append(task.number)
        return make(self, task)

    monkeypatch.setattr(PartTokenizer, "make_part", make_or_die)
    for _ in range(200):
        try:
            prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
            break
        except KeyboardInterrupt:
            assert not (tmp_path / "set").exists()
    assert len(made) > 10 and sorted(made) == list(range(len(made)))
    assert contents(tmp_path / "set") == contents(dataset.root)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.usefixtures("small_parts")
def test_parts_that_were_done_out_of_order_are_not_done_again(
    tmp_path: Path, corpus: Path, options: PrepareOptions, dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "write_splits", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
    monkeypatch.undo()
    monkeypatch.setattr(task_planner, "PART_BYTES", 4000)
    monkeypatch.setattr(task_planner, "BLOCK_BYTES", 1000)
    parts = sorted((tmp_path / ".tmp-set" / "parts").iterdir())
    for number in (2, 3, 7):
        parts[number].unlink()
    made: list[int] = []
    make = PartTokenizer.make_part

    def make_and_record(self: PartTokenizer, task: PartTask) -> PartFacts:
        made.append(task.number)
        return make(self, task)

    updates: list[dict[str, int]] = []
    monkeypatch.setattr(PartTokenizer, "make_part", make_and_record)
    monkeypatch.setattr(ReadingProgress, "update", lambda self, **update: updates.append(update))
    prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
    assert made == [2, 3, 7]
    total = sum(path.stat().st_size for path in corpus.iterdir())
    # Three parts are this attempt's; the others are counted as an earlier attempt's.
    assert 0 < updates[0]["bytes_before"] < updates[-1]["bytes_before"] < updates[-1]["bytes_read"] < total
    assert updates[-1]["bytes_read"] - updates[-1]["bytes_before"] == updates[-1]["text_bytes"]
    assert contents(tmp_path / "set") == contents(dataset.root)


def test_another_plan_does_not_use_the_parts_of_an_interrupted_one(
    tmp_path: Path, corpus: Path, options: PrepareOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write_splits", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
    other = options.model_copy(update={"filters": Filters(min_characters=500)})
    manifest = prepare([str(corpus)], out=tmp_path / "set", options=other, processes=1)
    expected = sum(len(path.read_text()) >= 500 for path in corpus.iterdir())
    assert manifest.sources[0].kept.documents == expected
    assert manifest.sources[0].skipped == {"shorter than the minimum": 60 - expected}


def test_a_folder_of_datasets_that_changed_starts_an_interrupted_attempt_over(
    tmp_path: Path, vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run:3"
    folder.mkdir()
    write_jsonl(folder / "train.jsonl", [made_up_text(number, sentences=4) for number in range(20)])
    options = PrepareOptions(vocab=str(vocab))
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write_splits", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare([f"hf:{folder}"], out=tmp_path / "set", options=options, processes=1)
    write_jsonl(folder / "train.jsonl", [made_up_text(number, sentences=4) for number in range(30)])
    manifest = prepare([f"hf:{folder}"], out=tmp_path / "set", options=options, processes=1)
    assert manifest.sources[0].kept.documents == 30


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_prepare_leaves_nothing_that_looks_whole_and_no_process(
    tmp_path: Path, vocab: Path, processes: int
) -> None:
    big = tmp_path / "big.jsonl"
    write_jsonl(big, [made_up_text(number, sentences=40) for number in range(300)] * 20)
    command = [sys.executable, "-m", "bertd.data.commands.prepare", str(big), "--vocab", str(vocab), "--dedup", "none"]
    command += ["--out", str(tmp_path / "set"), "--processes", str(processes)]
    parts = tmp_path / ".tmp-set" / "parts"
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: running.poll() is not None or any(parts.glob("part-*")), what="the first part")
    running.kill()
    assert running.stderr is not None
    # The pipe ends when the last process that holds it has exited: workers die with their parent.
    running.stderr.read()
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "set").exists()
    with pytest.raises(ShardError, match="no data set"):
        DataSet.open(tmp_path / "set")
    done_before = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*")}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done_before and "continuing an earlier attempt" in again.stderr
    DataSet.open(tmp_path / "set", verify=True)


def test_ctrl_c_while_workers_start_is_one_line(tmp_path: Path, corpus: Path, vocab: Path) -> None:
    command = [sys.executable, "-m", "bertd.data.commands.prepare", str(corpus), "--vocab", str(vocab)]
    command += ["--out", str(tmp_path / "set"), "--processes", "2"]
    running = psutil.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while running.poll() is None and not running.children():
        os.sched_yield()
    # To the whole group, as a terminal does.
    os.killpg(running.pid, signal.SIGINT)
    _, output = running.communicate()
    assert running.returncode == 130 and output == "interrupted; run the same command again to continue\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: it takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_is_one_clear_error_and_the_next_attempt_goes_on(
    tmp_path: Path, small_disk: Path, vocab: Path, processes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = write_jsonl(tmp_path / "lines.jsonl", [made_up_text(number, sentences=40) for number in range(1500)])
    command = [str(lines), "--vocab", str(vocab), "--out", str(small_disk / "set"), "--processes", str(processes)]
    assert main(command) == StorageError.exit_code
    output = capsys.readouterr().err
    assert "No space left on device; free space" in output and output.count("\n") == 1
    assert not (small_disk / "set").exists()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert main(command) == 0
    DataSet.open(small_disk / "set", verify=True)


def test_a_data_set_that_exists_is_kept_unless_it_is_to_be_replaced(
    tmp_path: Path, corpus: Path, options: PrepareOptions
) -> None:
    prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
    before = contents(tmp_path / "set")
    with pytest.raises(OutputExistsError, match="set: exists; give another --out, or --replace"):
        prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)
    assert contents(tmp_path / "set") == before
    one = write_jsonl(tmp_path / "one.jsonl", ["a river", "a stone"])
    manifest = prepare([str(one)], out=tmp_path / "set", options=options, processes=1, replace=True)
    assert DataSet.open(tmp_path / "set", verify=True).fingerprint == manifest.fingerprint
    assert not (tmp_path / ".tmp-set").exists()


def test_a_folder_that_is_no_data_set_is_never_replaced(tmp_path: Path, corpus: Path, options: PrepareOptions) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear all")
    with pytest.raises(OutputExistsError, match="mine: exists and is not a data set; give another --out"):
        prepare([str(corpus)], out=tmp_path / "mine", options=options, processes=1, replace=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear all"


class Killed(BaseException):
    """Simulates kill -9: nothing after it runs."""


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("calls", range(4))
def test_a_data_set_that_is_replaced_is_there_or_comes_back_wherever_the_replacing_is_killed(
    tmp_path: Path, dataset: DataSet, monkeypatch: pytest.MonkeyPatch, can_exchange: bool, calls: int
) -> None:
    target = tmp_path / "set"
    shutil.copytree(dataset.root, target)
    if not can_exchange:
        monkeypatch.setattr(workspace_module, "exchange_folders", lambda new, old: False)
    left = iter(range(calls))

    def or_die(act: Callable[..., object]) -> Callable[..., object]:
        def killed_or_acts(*arguments: object, **named: object) -> object:
            if next(left, None) is None:
                raise Killed
            return act(*arguments, **named)

        return killed_or_acts

    is_there = True
    try:
        with open_workspace(target, replace=True) as workspace:
            workspace.begin("plan")
            shutil.copytree(dataset.root, workspace.whole, dirs_exist_ok=True)
            (workspace.whole / "new").touch()
            with monkeypatch.context() as patch:
                patch.setattr(Path, "rename", or_die(Path.rename))
                patch.setattr(shutil, "rmtree", or_die(shutil.rmtree))
                patch.setattr(workspace_module, "exchange_folders", or_die(exchange_folders))
                workspace.publish()
    except Killed:
        is_there = target.exists()
    assert is_there or not can_exchange
    monkeypatch.undo()
    with open_workspace(target, replace=True):
        DataSet.open(target)


def test_two_at_once_do_not_make_the_same_data_set(tmp_path: Path, corpus: Path, options: PrepareOptions) -> None:
    with (
        open_workspace(tmp_path / "set", replace=False),
        pytest.raises(ShardError, match="another process is making it"),
    ):
        prepare([str(corpus)], out=tmp_path / "set", options=options, processes=1)


def test_filters_leave_out_what_they_name_and_count_it(tmp_path: Path, vocab: Path) -> None:
    lines = write_jsonl(
        tmp_path / "lines.jsonl",
        ["short", "река камень дом " * 5, *(made_up_text(number, sentences=3) for number in range(6)), "\ud800 half"],
    )
    filters = Filters(min_characters=6, min_ascii_share=0.5, max_documents=4)
    options = PrepareOptions(vocab=str(vocab), filters=filters)
    (source,) = prepare([str(lines)], out=tmp_path / "set", options=options, processes=1).sources
    assert source.read == 9 and source.kept.documents == 4
    assert source.skipped == {
        "beyond --max-documents": 2,
        "not valid UTF-8": 1,
        "shorter than the minimum": 1,
        "too few ASCII letters": 1,
    }


def test_the_quality_report_equals_an_independent_count(tmp_path: Path, vocab: Path) -> None:
    texts = [made_up_text(number, sentences=4) for number in range(40)] + ["the камень xyzzy", "Ünder a stone é"]
    lines = write_jsonl(tmp_path / "lines.jsonl", [*texts, texts[0]])
    options = PrepareOptions(vocab=str(vocab), validation_share=0.1)
    prepare([str(lines)], out=tmp_path / "set", options=options, processes=1)
    report = read_quality(tmp_path / "set")
    assert report is not None
    (source,) = report.sources
    tokenizer = open_tokenizer(str(vocab))
    tokens = [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False).tokens]
    letters = [character for text in texts for character in text if character.isalpha()]
    assert source.characters == sum(map(len, texts))
    assert (source.letters, source.ascii_letters) == (len(letters), sum(map(str.isascii, letters)))
    assert (source.tokens, source.unknown) == (len(tokens), tokens.count("[UNK]"))
    assert source.words == sum(not token.startswith("##") for token in tokens)
    lengths = [len(tokenizer.encode(text, add_special_tokens=False).tokens) for text in texts]
    assert source.document_tokens is not None
    assert source.document_tokens[1] == pytest.approx(statistics.median(lengths), rel=0.1)
    assert "tokens a word" in source.summary_line() and "of letters ASCII" in source.summary_line()


@given(text=st.text(max_size=200))
def test_letters_are_counted_as_one_by_one(text: str) -> None:
    letters = [character for character in text if character.isalpha()]
    assert count_letters(text) == LetterCounts(len(text), len(letters), sum(map(str.isascii, letters)))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("dedup", ["none", "exact"])
def test_no_more_is_read_than_the_most_documents_need(tmp_path: Path, vocab: Path, dedup: str) -> None:
    texts = [made_up_text(number // 2, sentences=6) for number in range(300)]
    lines = write_jsonl(tmp_path / "lines.jsonl", texts)
    filters = Filters.model_validate({"dedup": dedup, "max_documents": 40})
    options = PrepareOptions(vocab=str(vocab), validation_share=0.3, filters=filters)
    for processes in (1, 2):
        out = tmp_path / str(processes)
        (source,) = prepare([str(lines)], out=out, options=options, processes=processes).sources
        assert source.kept.documents == 40
        assert 40 < source.read < 150 and source.read == 40 + sum(source.skipped.values())
        assert set(source.skipped) == (
            {"beyond --max-documents"} | ({"exact duplicate"} if dedup == "exact" else set())
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    whole = options.model_copy(update={"filters": Filters.model_validate({"dedup": dedup})})
    prepare([str(lines)], out=tmp_path / "whole", options=whole, processes=1)
    read = [decoded_documents(DataSet.open(tmp_path / name), "train") for name in ("1", "whole")]
    assert read[0] == read[1][: len(read[0])]


def test_many_documents_are_decided_as_few_are(
    tmp_path: Path, corpus: Path, vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [made_up_text(number % 50, sentences=12) for number in range(90)]
    texts += [text.replace(" the ", " a ", 1) for text in texts[:30]]
    lines = write_jsonl(tmp_path / "lines.jsonl", texts)
    options = PrepareOptions(vocab=str(vocab), filters=Filters(dedup="near"))
    for bucket_documents in (1 << 22, 7):
        monkeypatch.setattr("bertd.data.prepare.selection.hash_partition.BUCKET_DOCUMENTS", bucket_documents)
        out = tmp_path / str(bucket_documents)
        (source,) = prepare([str(lines)], out=out, options=options, processes=1).sources
        assert source.skipped["exact duplicate"] >= 40 and source.skipped["near duplicate"] > 10
    assert contents(tmp_path / "7") == contents(tmp_path / str(1 << 22))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
def test_compressed_sources_give_what_plain_ones_give(
    tmp_path: Path, options: PrepareOptions, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    plain = write_jsonl(tmp_path / "lines.jsonl", [made_up_text(number, sentences=5) for number in range(30)])
    packed = tmp_path / f"lines.jsonl{suffix}"
    packed.write_bytes(compress(plain.read_bytes()))
    for path in (plain, packed):
        prepare([str(path)], out=tmp_path / f"set{path.suffix}", options=options, processes=1)
    of_plain, of_packed = contents(tmp_path / "set.jsonl"), contents(tmp_path / f"set{suffix}")
    del of_plain["manifest.json"], of_packed["manifest.json"]
    assert of_plain == of_packed
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CorpusError, match=f"{packed}: the archive (ends too early|is damaged)"):
        prepare([str(packed)], out=tmp_path / "cut", options=options, processes=1)
    packed.write_bytes(b"\x00 no archive at all")
    with pytest.raises(CorpusError, match=f"{packed}: .*(damaged|cannot read)"):
        prepare([str(packed)], out=tmp_path / "none", options=options, processes=1)
    assert not (tmp_path / "cut").exists() and not (tmp_path / "none").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_in_the_reading_leaves_no_worker_behind(
    tmp_path: Path, options: PrepareOptions, processes: int
) -> None:
    packed = tmp_path / "lines.jsonl.gz"
    content = write_jsonl(tmp_path / "lines.jsonl", [made_up_text(number, sentences=5) for number in range(30)])
    packed.write_bytes(gzip.compress(content.read_bytes())[:-20])
    with pytest.raises(CorpusError, match="ends too early"):
        prepare([str(packed)], out=tmp_path / "set", options=options, processes=processes)


def test_what_cannot_be_prepared_says_so_in_one_line(
    tmp_path: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.txt").write_bytes("Übel".encode("latin-1"))
    write_jsonl(tmp_path / "good.jsonl", ["a river"])
    cases = {
        "missing.txt": "missing.txt: no such file or folder; name a source KIND:PATH",
        "nokind:missing.txt": "no such file or folder; name a source KIND:PATH, with KIND one of text",
        "empty.txt": "hold no text that passes the filters; name other sources or loosen them (left out: 1 no text)",
        "latin.txt": "(left out: 1 not valid UTF-8)",
        "folder": "folder: holds no file; name another source",
        "*.parquet.none": "holds no file",
    }
    for source, message in cases.items():
        kind, colon, path = source.rpartition(":")
        named = f"{kind}{colon}{tmp_path / path}"
        status = main([named, "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--processes", "1"])
        captured = capsys.readouterr()
        assert status == CorpusError.exit_code and captured.out == ""
        (error,) = (line for line in captured.err.splitlines() if not line.startswith("bertd: note: "))
        assert message in error and error.startswith("bertd: ")
        assert not (tmp_path / "set").exists()
    good = str(tmp_path / "good.jsonl")
    assert main([good, good, "--vocab", str(vocab), "--out", str(tmp_path / "set")]) == CorpusError.exit_code
    assert "good.jsonl: given twice" in capsys.readouterr().err
    wrong_field = [good, "--text-field", "body", "--vocab", str(vocab), "--out", str(tmp_path / "set")]
    assert main([*wrong_field, "--processes", "1"]) == CorpusError.exit_code
    assert "1 lacks the text field" in capsys.readouterr().err
    assert (
        main([good, "--vocab", str(tmp_path / "folder"), "--out", str(tmp_path / "set")]) == VocabularyError.exit_code
    )
    assert "neither tokenizer.json nor vocab.txt" in capsys.readouterr().err


def test_the_command_prints_its_manifest_as_json(
    tmp_path: Path, vocab: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    assert main([str(corpus), "--vocab", str(vocab), "--out", str(out), "--processes", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["path"] == str(out)
    assert printed["fingerprint"] == DataSet.open(out).fingerprint
    assert printed["splits"]["train"]["documents"] + printed["splits"]["validation"]["documents"] == 60


def test_a_bare_name_lies_where_data_sets_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTD_DATA", str(tmp_path))
    assert resolve_data_path("wiki") == tmp_path / "wiki"
    assert resolve_data_path("/a/wiki") == Path("/a/wiki")
    assert resolve_data_path("./wiki") == Path.cwd() / "wiki"


def test_a_disk_without_room_is_one_clear_error(tmp_path: Path, corpus: Path, vocab: Path) -> None:
    # A limit on the size of files simulates a full disk: the write fails in the same way.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from bertd.data.commands.prepare import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = [str(corpus), "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--processes", "1"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == StorageError.exit_code
    assert done.stderr.startswith("bertd: ") and done.stderr.count("\n") == 1 and "File too large" in done.stderr
    assert not (tmp_path / "set").exists()


def test_a_folder_that_may_not_be_written_is_one_clear_error(
    tmp_path: Path, corpus: Path, options: PrepareOptions
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        prepare([str(corpus)], out=tmp_path / "file" / "set", options=options, processes=1)


def test_one_book_in_one_file_validates_on_pieces_of_it_that_training_does_not_have(
    tmp_path: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book.txt"
    book.write_text(made_up_text(7, sentences=4000))
    out = tmp_path / "set"
    assert main([str(book), "--vocab", str(vocab), "--out", str(out), "--processes", "1"]) == 0
    printed = capsys.readouterr().out
    assert "8 pieces of 1 long document, cut between sentences" in printed and "1 of 1 document, " in printed

    dataset = DataSet.open(out, verify=True)
    counts, (source,) = dataset.manifest.splits, dataset.manifest.sources
    assert dataset.manifest.held_out == HeldOutPieces(documents=1, pieces=8)
    assert (counts["train"].documents, counts["validation"].documents, source.kept.documents) == (8, 8, 1)
    assert 4096 <= counts["validation"].tokens <= 1.1 * 4096
    train, validation = decoded_documents(dataset, "train"), decoded_documents(dataset, "validation")
    # Training and held-out pieces take turns, and together they are the book.
    pieces = [piece for pair in zip(train, validation, strict=True) for piece in pair]
    assert all(piece.endswith(".") for piece in pieces)
    assert " ".join(pieces) == " ".join(book.read_text().lower().split())
    assert sum(each.sentences for each in counts.values()) == source.kept.sentences == 4000
    assert sum(each.tokens for each in counts.values()) == source.kept.tokens
    for split in ("train", "validation"):
        for packing in ("full", "sentences"):
            assert open_sequences(dataset, split=split, sequence_length=512, packing=packing).num_sequences > 0


@pytest.mark.usefixtures("small_parts")
def test_pieces_are_the_same_for_one_process_and_three(tmp_path: Path, vocab: Path) -> None:
    lines = write_jsonl(tmp_path / "books.jsonl", [made_up_text(number, sentences=3000) for number in range(3)])
    for processes in (1, 3):
        options = PrepareOptions(vocab=str(vocab))
        manifest = prepare([str(lines)], out=tmp_path / str(processes), options=options, processes=processes)
        assert manifest.held_out == HeldOutPieces(documents=3, pieces=6)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_short_documents_are_held_out_until_they_fill_a_sequence(tmp_path: Path, vocab: Path) -> None:
    lines = write_jsonl(tmp_path / "lines.jsonl", [made_up_text(number, sentences=3) for number in range(100)])
    manifest = prepare([str(lines)], out=tmp_path / "set", options=PrepareOptions(vocab=str(vocab)), processes=1)
    assert manifest.held_out is None and manifest.splits["validation"].documents > 1
    dataset = DataSet.open(tmp_path / "set")
    for split in ("train", "validation"):
        assert open_sequences(dataset, split=split, sequence_length=128, packing="full").num_sequences > 0


def test_copies_of_a_document_are_in_one_split_together(tmp_path: Path, vocab: Path) -> None:
    texts = [made_up_text(number // 4, sentences=3) for number in range(40)]
    lines = write_jsonl(tmp_path / "lines.jsonl", texts)
    options = PrepareOptions(vocab=str(vocab), filters=Filters(dedup="none"))
    prepare([str(lines)], out=tmp_path / "set", options=options, processes=1)
    dataset = DataSet.open(tmp_path / "set")
    train, validation = decoded_documents(dataset, "train"), decoded_documents(dataset, "validation")
    assert len(validation) >= 4 and not set(train) & set(validation)


def test_a_document_whose_hash_would_hold_out_all_the_text_is_cut(tmp_path: Path, vocab: Path) -> None:
    (tmp_path / "book.txt").write_text(made_up_text(1, sentences=50))
    options = PrepareOptions(vocab=str(vocab), validation_share=1.0)
    manifest = prepare([str(tmp_path / "book.txt")], out=tmp_path / "set", options=options, processes=1)
    assert manifest.splits["train"].documents == manifest.splits["validation"].documents == 1


def test_text_that_is_too_short_to_hold_some_out_is_refused_with_a_remedy(tmp_path: Path, vocab: Path) -> None:
    (tmp_path / "a.txt").write_text("The river walks.")
    options = PrepareOptions(vocab=str(vocab))
    with pytest.raises(CorpusError, match=r"the only document .* has \d+ tokens, too few .*text-blocks:PATH"):
        prepare([str(tmp_path / "a.txt")], out=tmp_path / "set", options=options, processes=1)
    assert not (tmp_path / "set").exists()
    unasked = options.model_copy(update={"validation_share": 0.0})
    prepare([str(tmp_path / "a.txt")], out=tmp_path / "set", options=unasked, processes=1)


def test_a_manifest_of_a_normal_corpus_has_no_field_that_older_ones_lack(dataset: DataSet) -> None:
    """Otherwise the fingerprint of every data set that exists would change, and its runs could not be resumed."""
    tree = json.loads((dataset.root / "manifest.json").read_text())
    assert "held_out" not in tree and Manifest.model_validate(tree).fingerprint == dataset.fingerprint
    written = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    assert hashlib.sha256(written.encode()).hexdigest() == dataset.fingerprint


def test_preparing_loads_no_torch(corpus: Path, vocab: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from bertd.data.commands.prepare import main; status = main(sys.argv[1:]);"
        "sys.exit(status or ('torch' in sys.modules) or ('transformers' in sys.modules) or ('datasets' in sys.modules))"
    )
    arguments = [str(corpus), "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--processes", "1"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.realdata
def test_real_counts_equal_an_independent_count(real_data: Path, tmp_path: Path) -> None:
    vocab = real_data / "vocab" / "bert-base-uncased-tokenizer.json"
    wiki = sorted((real_data / "wikiextractor" / "AA").iterdir())[:2]
    books = tmp_path / "books.jsonl"
    lines = (real_data / "books.jsonl").read_text().splitlines(keepends=True)[:50]
    books.write_text("".join(lines))
    sources = [*(f"wikiextractor:{path}" for path in wiki), f"jsonl:{books}"]
    options = PrepareOptions(vocab=str(vocab), validation_share=0.02, filters=Filters(dedup="none"))
    manifest = prepare(sources, out=tmp_path / "set", options=options, processes=2)

    tokenizer = open_tokenizer(str(vocab))
    for path, source in zip(wiki, manifest.sources, strict=False):
        elements = path.read_text().split("</doc>\n")[:-1]
        bodies = [element.split("\n", 3)[3].strip() for element in elements]
        assert source.read == len(elements)
        assert source.kept.documents == sum(bool(body) for body in bodies)
        assert source.skipped == {"redirect": sum(not body for body in bodies)}
    texts = [json.loads(line)["text"] for line in lines]
    num_tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
    assert (manifest.sources[2].kept.documents, manifest.sources[2].kept.tokens) == (50, num_tokens)
    assert sum(counts.documents for counts in manifest.splits.values()) == sum(
        source.kept.documents for source in manifest.sources
    )


@pytest.mark.realdata
@pytest.mark.long
def test_the_whole_of_the_extracted_wikipedia_has_its_36183_articles(real_data: Path, tmp_path: Path) -> None:
    options = PrepareOptions(
        vocab=str(real_data / "vocab" / "bert-base-uncased-vocab.txt"), filters=Filters(dedup="none")
    )
    source = f"wikiextractor:{real_data / 'wikiextractor'}"
    (counts,) = prepare([source], out=tmp_path / "set", options=options, processes=2).sources
    assert (counts.files, counts.read, counts.kept.documents) == (64, 96_339, 36_183)
    assert counts.skipped == {"redirect": 96_339 - 36_183}


def test_a_vocabulary_over_65536_entries_uses_four_bytes_a_token(tmp_path: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = [*special, *(f"w{number}" for number in range(66_000))]
    (tmp_path / "vocab.txt").write_text("\n".join(entries) + "\n")
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.randrange(66_000)}" for _ in range(50)) for _ in range(40)]
    lines = write_jsonl(tmp_path / "lines.jsonl", texts)
    options = PrepareOptions(vocab=str(tmp_path / "vocab.txt"), validation_share=0.0)
    manifest = prepare([str(lines)], out=tmp_path / "set", options=options, processes=1)
    assert manifest.files["train.tokens"].size == 4 * 40 * 51
    dataset = DataSet.open(tmp_path / "set", verify=True)
    expected = [[int(word[1:]) + 5 for word in text.split()] + [3] for text in texts]
    assert dataset.split("train").tokens[:].tolist() == [token for document in expected for token in document]
    rows = open_sequences(dataset, split="train", sequence_length=53, packing="full").rows(np.arange(40))
    assert rows[:, 1:-1].tolist() == expected


@pytest.mark.long
def test_a_line_of_200_mb_takes_no_more_memory_than_it_must(tmp_path: Path, vocab: Path) -> None:
    words = b"the river walks under a bright stone. " * 20_000
    text, lines = tmp_path / "long.txt", tmp_path / "long.jsonl"
    with text.open("wb") as long_text, lines.open("wb") as long_line:
        long_line.write(b'{"text": "short one"}\n{"text": "')
        for _ in range(200_000_000 // len(words)):
            long_line.write(words)
        long_line.write(b'"}\n{"text": "short two"}\n')
        # A text has no end mark, so it is cut and read, which takes longer: a third is enough.
        for _ in range(66_000_000 // len(words)):
            long_text.write(words)
    code = (
        "import sys; from bertd.data.commands.prepare import main; status = main(sys.argv[1:]);"
        "from bertd.run.machine.processes import peak_memory_bytes;"
        "print(peak_memory_bytes() >> 20); sys.exit(status)"
    )
    options = ["--vocab", str(vocab), "--processes", "1", "--dedup", "none", "--json"]
    for path, skipped, kept in ((lines, 1, 2), (text, 0, 2)):
        command = [sys.executable, "-c", code, str(path), "--out", f"{path}-set", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        printed, peak_mib = done.stdout.splitlines()
        (counts,) = json.loads(printed)["sources"]
        assert sum(counts["skipped"].values()) == skipped and counts["kept"]["documents"] == kept
        # Four times the line, and the interpreter: it is read, decoded, split and encoded.
        assert int(peak_mib) < 1000


def test_a_folder_without_permission_is_one_clear_error(corpus: Path, vocab: Path) -> None:
    code = (
        "import json, os, sys; from bertd.data.commands import prepare;"
        "os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534));"
        "print(json.dumps([prepare.main(arguments) for arguments in json.loads(sys.argv[1])]))"
    )
    # Not below tmp_path, which only its owner may enter.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(vocab, f"{folder}/vocab", copy_function=shutil.copyfile)
        Path(folder, "vocab").chmod(0o755)
        for name in ("closed", "locked", "open", "secret"):
            Path(folder, name).mkdir()
            Path(folder, name, "a.txt").write_text("the river")
        Path(folder, "closed", "a.txt").chmod(0)
        Path(folder, "locked").chmod(0o500)
        Path(folder, "secret").chmod(0)
        cases = [
            ("closed/a.txt", "vocab", "open/set", CorpusError, "closed/a.txt: cannot read: Permission denied"),
            (".", "vocab", "open/set", CorpusError, "cannot read: Permission denied"),
            ("open", "closed/a.txt", "open/set", VocabularyError, "closed/a.txt: cannot read the vocabulary"),
            ("open", "secret", "open/set", VocabularyError, "secret: cannot read: Permission denied"),
            ("open", "vocab", "locked/set", StorageError, "Permission denied; free space there or check"),
        ]
        arguments = [
            [f"{folder}/{source}", "--vocab", f"{folder}/{words}", "--out", f"{folder}/{out}", "--processes", "1"]
            for source, words, out, _, _ in cases
        ]
        command = [sys.executable, "-c", code, json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == [error.exit_code for *_, error, _ in cases]
        for line, (*_, message) in zip(done.stderr.splitlines(), cases, strict=True):
            assert message in line


def test_half_a_percent_of_the_documents_validates_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: Izsak et al. 2021, section 3."""
    shares = []

    def note(*_: object, options: PrepareOptions, **__: object) -> Manifest:
        shares.append(options.validation_share)
        raise CorpusError("enough")

    monkeypatch.setattr("bertd.data.commands.prepare.prepare", note)
    for more in ([], ["--validation", "0.1"]):
        assert main(["text:books", "--vocab", "v", "--out", "set", *more]) == CorpusError.exit_code

    assert shares == [0.005, 0.1]

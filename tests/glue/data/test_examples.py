"""Reading GLUE's files, with their irregularities."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.errors import CorpusError
from bertd.glue.data.examples import Example, read_dev, read_split, read_train
from bertd.glue.data.tables import read_table
from bertd.glue.tasks import TASKS, find_task
from bertd.records import GLUE_FILES, GLUE_TASKS


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_cola_has_no_header_and_may_end_without_a_newline(tmp_path: Path) -> None:
    path = _write(tmp_path, "CoLA/train.tsv", b'gj04\t1\t\tHe said "go.\ngj04\t0\t*\tGo said he.')
    examples = read_split(TASKS["cola"], path=path).examples
    assert examples == [Example('He said "go.', None, 1.0), Example("Go said he.", None, 0.0)]


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    text = '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tA "b .\tC d" .\n'
    path = _write(tmp_path, "MRPC/dev.tsv", text.encode())
    assert read_split(TASKS["mrpc"], path=path).examples == [Example('A "b .', 'C d" .', 1.0)]


def test_a_file_with_a_header_may_end_without_a_newline(tmp_path: Path) -> None:
    path = _write(tmp_path, "SST-2/dev.tsv", b"sentence\tlabel\nfine\t1\nbad\t0")
    assert read_split(TASKS["sst-2"], path=path).examples == [Example("fine", None, 1.0), Example("bad", None, 0.0)]


def test_the_parse_columns_of_mnli_that_are_not_available_are_no_missing_values(tmp_path: Path) -> None:
    parses = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    header = f"index\tpromptID\tpairID\tgenre\t{parses}\tsentence1\tsentence2\tlabel1\tgold_label\n"
    absent = "\t".join(["n/a"] * 7)
    content = f"{header}3\t{absent}\tA (b) .\tC .\tneutral\tneutral\n4\t{absent}\tn/a\tNA\tneutral\tentailment"
    path = _write(tmp_path, "MNLI/train.tsv", content.encode())
    expected = [Example("A (b) .", "C .", 2.0), Example("n/a", "NA", 1.0)]
    assert read_split(TASKS["mnli"], path=path).examples == expected
    table = read_table(path, ("sentence1", "sentence2", "gold_label"))
    assert table.rows == [("A (b) .", "C .", "neutral"), ("n/a", "NA", "entailment")]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = _write(tmp_path, "SST-2/dev.tsv", "sentence\tlabel\r\na\u2028b\x85c\x0cd\t1\r\n".encode())
    assert read_split(TASKS["sst-2"], path=path).examples == [Example("a\u2028b\x85c\x0cd", None, 1.0)]


def test_columns_are_found_by_name_at_any_position(tmp_path: Path) -> None:
    path = _write(tmp_path, "STS-B/dev.tsv", b"score\tx\tsentence2\tsentence1\n2.5\t-\tb\ta\n")
    assert read_split(TASKS["sts-b"], path=path).examples == [Example("a", "b", 2.5)]


def test_lines_of_qqp_that_are_cut_short_are_counted_and_left_out(tmp_path: Path) -> None:
    header = b"id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    path = _write(tmp_path, "QQP/train.tsv", header + b"1\t0\t0\thow\n2\t0\t0\twhy\twhat\t1\n")
    split = read_split(TASKS["qqp"], path=path)
    assert (split.examples, split.skipped_lines) == ([Example("why", "what", 1.0)], 1)


def test_an_absent_second_development_set_is_named_and_the_first_is_read(tmp_path: Path) -> None:
    row = b"sentence1\tsentence2\tgold_label\na\tb\tneutral\n"
    _write(tmp_path, "MNLI/dev_matched.tsv", row)
    splits, absent = read_dev(TASKS["mnli"], data_dir=tmp_path)
    assert (list(splits), absent) == ([""], [tmp_path / "MNLI/dev_mismatched.tsv"])
    _write(tmp_path, "MNLI/dev_mismatched.tsv", row)
    splits, absent = read_dev(TASKS["mnli"], data_dir=tmp_path)
    assert (list(splits), absent) == (["", "_mismatched"], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no example"),
        (b"gj04\t1\t\tfine\ngj04\t2\t\tHi\n", "line 2: label '2' is not one of 0, 1"),
        (b"gj04\t1\tHi\n", "line 1: 3 fields, but 4 columns"),
        (b"gj04\t1\t\tfine\n\n", "line 2: 1 fields"),
        (b"gj04\t1\t\tfine\ngj04\t1\t\t\xff\n", "line 2: not UTF-8"),
    ],
)
def test_bad_data_names_file_line_and_remedy(tmp_path: Path, content: bytes, message: str) -> None:
    path = _write(tmp_path, "CoLA/train.tsv", content)
    with pytest.raises(CorpusError) as caught:
        read_train(TASKS["cola"], data_dir=tmp_path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_file_names_the_folder_that_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"RTE/train.tsv: cannot read: No such file.*the folder that holds RTE/"):
        read_train(TASKS["rte"], data_dir=tmp_path)


@pytest.mark.parametrize("score", ["nan", "inf", "", "five"])
def test_a_score_that_is_not_a_number_is_refused(tmp_path: Path, score: str) -> None:
    content = f"sentence1\tsentence2\tscore\na\tb\t{score}\n".encode()
    path = _write(tmp_path, "STS-B/train.tsv", content)
    with pytest.raises(CorpusError, match="line 2: score .* is not a number"):
        read_split(TASKS["sts-b"], path=path)


def test_a_header_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "RTE/train.tsv", b"premise\thypothesis\tlabel\na\tb\tentailment\n")
    with pytest.raises(CorpusError, match="no column 'sentence1', 'sentence2' in"):
        read_split(TASKS["rte"], path=path)


def test_an_unknown_task_error_lists_the_known_tasks() -> None:
    with pytest.raises(CorpusError, match="'CoLA'.*cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte, wnli"):
        find_task("CoLA")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "num_train", "num_dev"),
    [
        ("cola", 8551, 1043),
        ("sst-2", 67349, 872),
        ("mrpc", 3668, 408),
        ("sts-b", 5749, 1500),
        ("qqp", 10000, 20215),
        ("mnli", 10000, 9815),
        ("rte", 2490, 277),
        ("wnli", 635, 71),
    ],
)
def test_real_files_have_as_many_examples_as_glue_says(
    name: str, num_train: int, num_dev: int, real_data: Path
) -> None:
    data_dir = real_data / "glue"
    task = find_task(name)
    splits, _ = read_dev(task, data_dir=data_dir)
    assert len(read_train(task, data_dir=data_dir).examples) == num_train
    assert len(splits[""].examples) == num_dev
    for split in splits.values():
        assert all(example.first.strip() for example in split.examples)


def test_the_names_that_the_control_side_knows_are_those_of_the_tasks() -> None:
    assert tuple(TASKS) == GLUE_TASKS
    for name, task in TASKS.items():
        assert next(iter(task.dev_files.values())) == GLUE_FILES[name].dev and GLUE_FILES[name].train == "train.tsv"

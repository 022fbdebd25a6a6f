"""`bertd export-metrics`: every format has the journal's numbers, thinned as stated, and nothing is written by half."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from bertd.cli.commands.export_metrics import Format
from bertd.records import RestartRecord, StepRecord, ValidationRecord
from bertd.run.journal import JournalWriter, append_records, read_journal
from bertd.run.paths import RunPaths
from bertd.trackers import export
from bertd.trackers.export import count_step_records, export_metrics
from bertd.trackers.metrics import METRICS
from bertd.trackers.sinks.open_sink import MetricsFormat
from tests.cli.conftest import Bertd, bertd
from tests.cli.report.test_report import end, make_run
from tests.run.plan.journals import make_recipe
from tests.trackers.libraries import (
    READ_MLFLOW,
    READ_TENSORBOARD,
    READ_TRACKIO,
    READ_WANDB,
    read_with,
    require_library,
    run_python,
)

__all__ = ["bertd"]


def steps_of(run: Path) -> list[StepRecord]:
    return [record for record in read_journal(RunPaths(run).journal) if isinstance(record, StepRecord)]


def validations_of(run: Path) -> list[ValidationRecord]:
    return [record for record in read_journal(RunPaths(run).journal) if isinstance(record, ValidationRecord)]


def export_as(format: str, run: Path, *options: str) -> Path:
    """The command, as a process with the trackers' libraries; the folder it wrote."""
    done = run_python("-m", "bertd", "export-metrics", f"{run}/", "--to", format, *options, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[0])


def test_the_command_knows_every_format() -> None:
    assert [*Format] == [*MetricsFormat]


def test_a_table_has_every_step_and_validation(bertd: Bertd, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "7-demo", end()), tmp_path / "7.csv"
    said = bertd("export-metrics", str(run), "--to", "csv", "--out", str(out))
    assert said.code == 0, said.err
    rows = list(csv.DictReader(out.open()))
    steps, validations = steps_of(run), validations_of(run)
    assert len(rows) == len(steps) + len(validations)
    of_steps = [row for row in rows if row["train/loss"]]
    assert [int(row["step"]) for row in of_steps] == [record.step for record in steps]
    assert [float(row["speed/sequences_per_s"]) for row in of_steps] == [record.sequences_per_s for record in steps]
    assert all(row["validation/loss"] == "" and row["train/loss_scale"] == "" for row in of_steps)
    assert [float(row["validation/loss"]) for row in rows if row["validation/loss"]] == [
        record.loss for record in validations
    ]
    assert f"{len(steps):,} step records all" in said.out


def test_parquet_has_what_csv_has(bertd: Bertd, tmp_path: Path) -> None:
    run = make_run(tmp_path / "7-demo", end())
    for format in ("csv", "parquet"):
        assert bertd("export-metrics", str(run), "--to", format, "--out", str(tmp_path / f"7.{format}")).code == 0
    table = pyarrow.parquet.read_table(tmp_path / "7.parquet")
    rows = list(csv.DictReader((tmp_path / "7.csv").open()))
    assert table.column_names == list(rows[0])
    for name in table.column_names:
        text = ["" if value is None else str(value) for value in table[name].to_pylist()]
        assert text == [row[name] for row in rows], name


def test_rows_beyond_one_group_are_all_in_the_parquet_file(
    bertd: Bertd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.trackers.sinks.parquet_file._ROWS_PER_GROUP", 100)
    run, out = make_run(tmp_path / "7-demo"), tmp_path / "7.parquet"
    assert bertd("export-metrics", str(run), "--to", "parquet", "--out", str(out)).code == 0
    file = pyarrow.parquet.ParquetFile(out)
    assert file.metadata.num_row_groups > 1
    assert file.metadata.num_rows == len(steps_of(run)) + len(validations_of(run))


def test_thinning_keeps_every_nth_step_the_newest_one_and_all_validations(bertd: Bertd, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "7-demo"), tmp_path / "7.csv"
    steps = steps_of(run)
    said = bertd("export-metrics", str(run), "--to", "csv", "--out", str(out), "--points", "50", "--json")
    answer = json.loads(said.out)
    every = answer["every"]
    assert every == -(-len(steps) // 50) > 1
    rows = list(csv.DictReader(out.open()))
    kept = [int(row["step"]) for row in rows if row["train/loss"]]
    assert kept == [*dict.fromkeys([*(record.step for record in steps[::every]), steps[-1].step])]
    assert len(kept) <= 51
    assert len([row for row in rows if row["validation/loss"]]) == len(validations_of(run))
    assert answer["num_step_records"] == len(steps)


def test_steps_are_counted_whatever_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "7-demo", end())
    for size in (16, 100, 1000):
        monkeypatch.setattr(export, "_CHUNK_BYTES", size)
        assert count_step_records(RunPaths(run).journal) == len(steps_of(run))


def test_a_running_run_is_exported_up_to_its_last_whole_record(bertd: Bertd, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "7-demo"), tmp_path / "7.csv"
    num_steps = len(steps_of(run))
    with RunPaths(run).journal.open("ab") as journal:
        journal.write(b'{"kind":"step","t":9')
    said = bertd("export-metrics", str(run), "--to", "csv", "--out", str(out), "--json")
    assert said.code == 0
    assert json.loads(said.out)["num_damaged_lines"] == 0
    assert len([row for row in csv.DictReader(out.open()) if row["train/loss"]]) == num_steps


def test_a_damaged_line_is_left_out_and_said(bertd: Bertd, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "7-demo"), tmp_path / "7.csv"
    with RunPaths(run).journal.open("ab") as journal:
        journal.write(b'{"kind":"validation","t":"x"}\n')
    said = bertd("export-metrics", str(run), "--to", "csv", "--out", str(out))
    assert "1 damaged line of the journal left out" in said.out


def test_what_is_there_is_not_replaced(bertd: Bertd, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "7-demo"), tmp_path / "7.csv"
    out.write_text("mine")
    said = bertd("export-metrics", str(run), "--to", "csv", "--out", str(out))
    assert said.code == 73 and "exists already" in said.err
    assert out.read_text() == "mine"


def test_an_interrupted_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "7-demo")

    def interrupt(record: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "repeated_after", interrupt)
    for format in (MetricsFormat.CSV, MetricsFormat.PARQUET):
        with pytest.raises(KeyboardInterrupt):
            export_metrics(run, format, place=tmp_path / f"7.{format}", points=None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["7-demo"]


def test_a_full_disk_is_said_in_a_line(bertd: Bertd, tmp_path: Path) -> None:
    said = bertd("export-metrics", str(make_run(tmp_path / "7-demo")), "--to", "csv", "--out", "/proc/no/7.csv")
    assert said.code == 74 and said.err.startswith("bertd: /proc/no/7.csv: cannot write: ")


def test_a_folder_without_a_journal_is_said(bertd: Bertd, tmp_path: Path) -> None:
    said = bertd("export-metrics", f"{tmp_path}/", "--to", "csv")
    assert said.code == 65 and "no journal there" in said.err


@pytest.mark.parametrize("format", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(
    format: str, bertd: Bertd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.trackers.sinks.open_sink.find_spec", lambda name: None)
    said = bertd("export-metrics", str(make_run(tmp_path / "7-demo")), "--to", format)
    assert said.code == 69
    assert said.err == (
        f"bertd: {format} needs the package {format}, which is not installed; pip install 'bertd[{format}]'\n"
    )


def test_no_tracker_is_imported_for_a_table(tmp_path: Path) -> None:
    run = make_run(tmp_path / "7-demo")
    code = (
        "import sys; from pathlib import Path; from bertd.trackers import export;"
        f"export.export_metrics(Path({str(run)!r}), export.MetricsFormat.CSV, place=Path('7.csv'), points=None);"
        "print(sys.modules.keys() & {'tensorboard', 'wandb', 'mlflow', 'trackio', 'torch', 'pyarrow'})"
    )
    assert read_with(code, cwd=tmp_path) == "set()\n"


def test_tensorboard_reads_every_point(tmp_path: Path) -> None:
    require_library("tensorboard")
    run = make_run(tmp_path / "7-demo", end())
    folder = export_as("tensorboard", run)
    points, texts = json.loads(read_with(READ_TENSORBOARD, str(folder), cwd=tmp_path))
    steps = steps_of(run)
    assert points["train/loss"] == [[record.step, record.loss] for record in steps]
    assert set(points) <= set(METRICS) and "speed/tokens_per_s" in points
    assert [step for step, _ in points["validation/loss"]] == [record.step for record in validations_of(run)]
    assert texts == ["recipe/text_summary"]


def test_tensorboard_drops_what_a_restart_did_again(tmp_path: Path) -> None:
    require_library("tensorboard")
    run = make_run(tmp_path / "7-demo")
    last = steps_of(run)[-1]
    restart = RestartRecord(
        t=last.t, step=last.step, attempt=2, cause="", delay_s=0.0, from_step=100, charged_s=last.charged_s
    )
    again = last.model_copy(update={"step": 101, "loss": 3.25, "t": last.t + 9})
    append_records(RunPaths(run).journal, [restart, again])
    folder = export_as("tensorboard", run)
    points, _ = json.loads(read_with(READ_TENSORBOARD, str(folder), cwd=tmp_path))
    assert points["train/loss"][-2:] == [[100, 5.0], [101, 3.25]]


def test_wandb_has_every_point_in_its_offline_folder(tmp_path: Path) -> None:
    require_library("wandb")
    run = make_run(tmp_path / "7-demo", end())
    folder = export_as("wandb", run)
    rows = json.loads(read_with(READ_WANDB, str(folder), cwd=tmp_path))
    assert [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row] == [
        (record.step, record.loss) for record in steps_of(run)
    ]
    assert len([row for row in rows if "validation/loss" in row]) == len(validations_of(run))


def test_mlflow_has_every_point_and_the_recipe_in_its_file_store(tmp_path: Path) -> None:
    require_library("mlflow")
    run = make_run(tmp_path / "7-demo", end())
    folder = export_as("mlflow", run, "--points", "200")
    name, status, params, points = json.loads(read_with(READ_MLFLOW, str(folder), cwd=tmp_path))
    steps = steps_of(run)
    every = -(-len(steps) // 200)
    assert (name, status) == ("7-demo", "FINISHED")
    assert params["optimizer.kind"] == make_recipe().optimizer.kind
    assert [step for step, _ in points["train/loss"]][:5] == [record.step for record in steps[::every][:5]]


def test_trackio_has_every_point_and_the_recipe_in_its_folder(tmp_path: Path) -> None:
    require_library("trackio")
    run = make_run(tmp_path / "7-demo", end())
    folder = export_as("trackio", run, "--points", "200")
    name, optimizer, points = json.loads(read_with(READ_TRACKIO, str(folder), cwd=tmp_path))
    steps = steps_of(run)
    kept = {record.step: record.loss for record in steps[:: -(-len(steps) // 200)]}
    assert (name, optimizer["kind"]) == ("7-demo", make_recipe().optimizer.kind)
    assert kept.items() <= {each["step"]: each["train/loss"] for each in points if "train/loss" in each}.items()
    assert len([each for each in points if "validation/loss" in each]) == len(validations_of(run))


@pytest.mark.slow
def test_a_journal_of_many_records_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    code = (
        "import sys; from bertd.cli.main import main; from bertd.run.machine.processes import peak_memory_bytes\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(peak_memory_bytes())"
    )
    peaks = []
    for name, times in (("1-short", 1), ("2-long", 150)):
        run = make_run(tmp_path / name)
        lines = RunPaths(run).journal.read_bytes()
        with RunPaths(run).journal.open("ab") as journal:
            for _ in range(times - 1):
                journal.write(lines)
        done = run_python("-c", code, "export-metrics", f"{run}/", "--to", "csv", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert peaks[1] < peaks[0] + (24 << 20)


def test_a_writer_may_append_meanwhile(tmp_path: Path) -> None:
    run = make_run(tmp_path / "7-demo")
    journal = JournalWriter(RunPaths(run).journal)
    answer = export_metrics(run, MetricsFormat.CSV, place=tmp_path / "7.csv", points=None)
    journal.append(steps_of(run)[-1])
    journal.close()
    assert answer.num_rows == len((tmp_path / "7.csv").read_text().splitlines()) - 1

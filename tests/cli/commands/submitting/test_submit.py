"""bertd.cli.commands.submitting.submit: a mistake costs nothing, and the daemon gets absolute paths."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from bertd.api.models import HIGHEST_PRIORITY, SubmitFinetune, SubmitGrid, SubmitPretrain
from bertd.cli.finetune_options import Kept, Metric, PresetName, ViaName
from bertd.cli.own_task_options import name_own_task
from bertd.records import FinetuneSpec, Keep, MetricName, OwnTask, Preset, TaskDescription, Via
from bertd.run.recipe.load import find_recipe, parse_recipe
from bertd.run.recipe.schema import Recipe
from tests.cli.conftest import Bertd
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, and a folder of data sets next to it."""
    monkeypatch.setenv("BERTD_DATA", str(tmp_path / "data"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """The demo's data set, prepared by name."""
    folder = tmp_path / "data" / "docstrings"
    folder.mkdir(parents=True)
    return folder


MISFIT = "misfit"
"""A file that makes the fake check refuse a checkpoint."""


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The recipes whose checkpoints the program was asked about, which loads transformers and is not run here."""
    asked = []

    def run(command: list[str], *, input: str, **_: object) -> subprocess.CompletedProcess[str]:
        assert command[1:] == ["-m", "bertd.train.check_start_from"]
        asked.append(recipe := parse_recipe(input, name="asked"))
        assert recipe.model.start_from is not None
        return subprocess.CompletedProcess(command, 65 if (Path(recipe.model.start_from) / MISFIT).exists() else 0)

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def submitted(daemon: FakeDaemon) -> tuple[SubmitPretrain, Recipe]:
    """The last submission, and the recipe the daemon makes of it."""
    body = SubmitPretrain.model_validate_json(next(each.body for each in reversed(daemon.requests) if each.body))
    return body, parse_recipe(body.recipe_toml, name=body.recipe_name, overrides=body.overrides)


def test_the_data_of_a_recipes_grids_are_those_of_the_senders_folder(
    bertd: Bertd, daemon: FakeDaemon, data_set: Path, workplace: Path
) -> None:
    assert bertd("submit", "demo", "--set", 'finetune.tasks=["cola"]', "--set", "finetune.data=glue").code == 0
    assert submitted(daemon)[1].finetune.data == str(workplace / "glue")


def test_a_shipped_recipe_is_submitted_by_name(bertd: Bertd, daemon: FakeDaemon, data_set: Path) -> None:
    said = bertd("submit", "demo")
    assert said.code == 0
    assert said.out.splitlines()[0] == "job 9 (demo) is queued: waits for its turn"
    for command in ("bertd status", "bertd logs 9 -f", "bertd wait 9"):
        assert command in said.out
    body, recipe = submitted(daemon)
    assert (body.recipe_name, body.priority, body.hold) == ("demo.toml", 0, False)
    assert recipe.data.shards == str(data_set)


def test_overrides_reach_the_run(bertd: Bertd, daemon: FakeDaemon, data_set: Path) -> None:
    arguments = ["--set", "optimizer.peak_lr=3e-4", "--set", "run.seed=7", "--budget", "90min", "--name", "other"]
    assert bertd("submit", "demo", *arguments, "--hold", "--priority", "3").code == 0
    body, recipe = submitted(daemon)
    assert (recipe.optimizer.peak_lr, recipe.run.seed, recipe.run.name) == (3e-4, 7, "other")
    assert (recipe.budget.hours, body.hold, body.priority) == (1.5, True, 3)


def test_a_priority_that_no_subcommand_could_set_is_refused_here(
    bertd: Bertd, daemon: FakeDaemon, data_set: Path
) -> None:
    for too_high in (str(HIGHEST_PRIORITY + 1), str(-HIGHEST_PRIORITY - 1)):
        refused = bertd("submit", "demo", "--priority", too_high)
        assert refused.code == 2 and "--priority" in refused.err
    assert bertd("priority", "7", str(HIGHEST_PRIORITY + 1)).code == 2
    assert daemon.requests == []


def test_a_held_job_says_how_to_let_it_start(bertd: Bertd, daemon: FakeDaemon, data_set: Path) -> None:
    assert "bertd release 9" in bertd("submit", "demo", "--hold").out
    assert "bertd release 9" not in bertd("submit", "demo").out


def test_a_folder_here_goes_before_a_data_set_of_that_name(
    bertd: Bertd, daemon: FakeDaemon, data_set: Path, workplace: Path
) -> None:
    (workplace / "docstrings").mkdir()
    assert bertd("submit", "demo").code == 0
    assert submitted(daemon)[1].data.shards == str(workplace / "docstrings")


def test_an_absolute_data_set_is_the_daemons_to_judge(bertd: Bertd, daemon: FakeDaemon) -> None:
    assert bertd("submit", "demo", "--set", "data.shards=/on/the/box").code == 0
    assert submitted(daemon)[1].data.shards == "/on/the/box"


def test_a_checkpoint_to_start_from_is_a_folder_here_or_a_name_on_the_hub(
    bertd: Bertd, daemon: FakeDaemon, data_set: Path, workplace: Path, checks: list[Recipe]
) -> None:
    (workplace / "mine" / "export").mkdir(parents=True)
    os.mkfifo(workplace / "pipe")
    (workplace / "loop").symlink_to(workplace / "loop")
    for given, arrives in {
        "mine/export": str(workplace / "mine" / "export"),
        "google-bert/bert-base-uncased": "google-bert/bert-base-uncased",
        "/on/the/box": "/on/the/box",
        "pipe": str(workplace / "pipe"),
        "loop": str(workplace / "loop"),
    }.items():
        assert bertd("submit", "demo", "--set", f"model.start_from={given}").code == 0
        assert submitted(daemon)[1].model.start_from == arrives
    # Only a folder here can be checked.
    assert [recipe.model.start_from for recipe in checks] == [str(workplace / "mine" / "export")]


def test_a_checkpoint_that_does_not_fit_is_found_before_the_run_is_queued(
    bertd: Bertd, daemon: FakeDaemon, data_set: Path, workplace: Path, checks: list[Recipe]
) -> None:
    (workplace / "other").mkdir()
    (workplace / "other" / MISFIT).touch()

    assert bertd("submit", "demo", "--set", "model.start_from=./other").code == 65

    assert len(checks) == 1 and daemon.requests == []


def test_a_data_set_with_an_odd_name_arrives_as_it_is(bertd: Bertd, daemon: FakeDaemon, tmp_path: Path) -> None:
    odd = tmp_path / "data" / 'a "b" \\ c\x7f\x01 größe'
    odd.mkdir(parents=True)
    recipe = tmp_path / "odd.toml"
    demo = find_recipe("demo").read_text()
    recipe.write_text(demo.replace('"docstrings"', r'"a \"b\" \\ c\u007F\u0001 größe"'))
    assert bertd("submit", str(recipe)).code == 0
    assert submitted(daemon)[1].data.shards == str(odd)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent"], 2, "bertd: absent: no such file, nor a recipe of bertd; those are: "),
        (["demo", "--set", "optimizer.peek_lr=1"], 2, "unknown key 'peek_lr'; did you mean peak_lr?"),
        (["demo", "--set", "peak_lr"], 2, "write section.key=value"),
        (["demo", "--budget", "soon"], 2, "'soon' is not a budget"),
        (["demo", "--budget", "0s"], 2, "give a budget above 0"),
        (["demo", "--budget", "+2h"], 2, "give a budget above 0"),
        (["demo", "--budget", "2h", "--set", "budget.steps=4"], 2, "a run has one budget; give one of them"),
        (["demo", "--set", "budget.hours=0", "--set", "budget.steps=4"], 2, "a run has one budget; give one of them"),
        (["demo", "--name", "../up"], 2, "[run]: name = '../up'"),
        (["demo", "--name", "\udcff"], 2, "demo.toml: "),
    ],
)
def test_a_mistake_is_found_before_any_daemon_is_asked(
    arguments: list[str], code: int, message: str, bertd: Bertd, data_set: Path
) -> None:
    said = bertd("submit", *arguments)
    assert said.code == code
    assert message in " ".join(said.err.split())


def test_the_home_of_an_unknown_user_is_a_missing_folder(bertd: Bertd, data_set: Path) -> None:
    said = bertd("submit", "demo", "--set", "data.shards=~nobody-has-this/x")
    assert said.code == 65 and "~nobody-has-this/x" in " ".join(said.err.split())


def test_a_data_set_that_is_nowhere_says_where_it_was_looked_for(bertd: Bertd, workplace: Path, tmp_path: Path) -> None:
    said = bertd("submit", "demo")
    assert said.code == 65
    assert f"no folder {workplace / 'docstrings'} nor {tmp_path / 'data' / 'docstrings'}" in said.err
    assert "make one with `bertd data prepare`" in said.err


def test_a_good_recipe_without_a_daemon_ends_with_69(bertd: Bertd, data_set: Path) -> None:
    assert bertd("submit", "demo").code == 69


def test_a_finetuning_is_submitted_with_its_settings(bertd: Bertd, daemon: FakeDaemon, workplace: Path) -> None:
    (workplace / "glue").mkdir()
    settings = ["--seed", "7", "--lr", "1e-5", "--batch-size", "16", "--epochs", "5", "--priority", "2"]
    said = bertd("finetune", "7-demo@12000", "--task", "cola", "--data", "glue", *settings)
    assert said.code == 0
    assert SubmitFinetune.model_validate_json(daemon.requests[-1].body) == SubmitFinetune(
        run="7-demo@12000",
        task="cola",
        data_dir=str(workplace / "glue"),
        seed=7,
        lr=1e-5,
        batch_size=16,
        epochs=5,
        priority=2,
    )
    assert "bertd scores" in said.out


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--task", "col", "cola, sst-2"),
        ("--lr", "nan", "above 0"),
        ("--lr", "0", "above 0"),
        ("--epochs", "0", "give a number at least 1"),
    ],
)
def test_a_finetuning_that_cannot_be_done_is_not_queued(
    bertd: Bertd, daemon: FakeDaemon, option: str, value: str, remedy: str
) -> None:
    given = {"--task": "cola", "--data": ".", option: value}
    said = bertd("finetune", "@", *(word for pair in given.items() for word in pair))
    assert said.code == 2
    assert option in said.err and remedy in said.err
    assert not daemon.requests


def test_an_export_anywhere_can_be_finetuned(bertd: Bertd, daemon: FakeDaemon, workplace: Path) -> None:
    (workplace / "exports" / "mine").mkdir(parents=True)
    assert bertd("finetune", "exports/mine", "--task", "cola", "--data", ".").code == 0
    assert SubmitFinetune.model_validate_json(daemon.requests[-1].body).run == str(workplace / "exports" / "mine")


def test_a_grid_is_submitted_as_one_job_with_its_number_of_trials(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path
) -> None:
    (workplace / "glue").mkdir()
    said = bertd("finetune", "@", "--tasks", "rte,cola", "--data", "glue", "--preset", "fair", "--seeds", "2")
    assert said.code == 0
    assert (
        "4 trials: cola 2, rte 2\ntime: about 1h 01m on 8 GPUs, 16 trials at a time: 8.13 GPU-hours, without rte"
        in (said.out)
    )
    assert SubmitGrid.model_validate_json(daemon.requests[-1].body) == SubmitGrid(
        run="@", tasks=["cola", "rte"], preset=Preset.FAIR, num_seeds=2, data_dir=str(workplace / "glue")
    )


def test_a_dry_run_of_a_grid_says_how_many_trials_and_queues_nothing(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path
) -> None:
    (workplace / "glue").mkdir()
    grid = ["finetune", "@", "--tasks", "rte,cola", "--data", "glue", "--dry-run"]
    unknown = {"wall_s": None, "device_hours": None, "unmeasured": ["cola", "rte"]}
    daemon.grid_estimate = daemon.grid_estimate.model_copy(update=unknown)
    said = bertd(*grid)
    assert said.out.startswith(
        "4 trials: cola 2, rte 2\ntime: unknown until the first trial of each task is over; on 8"
    )
    assert json.loads(bertd(*grid, "--json").out)["num_trials"] == 4
    assert {request.path for request in daemon.requests} == {"/v1/grids/estimate"}


def test_modern_leaves_out_the_task_without_a_published_setting_and_says_so(bertd: Bertd, daemon: FakeDaemon) -> None:
    said = bertd("finetune", "@", "--tasks", "all", "--data", ".", "--preset", "modern")
    assert "modern has no published setting for wnli, which is left out" in said.err
    assert "wnli" not in SubmitGrid.model_validate_json(daemon.requests[-1].body).tasks


_DESCRIPTION = TaskDescription(
    task="qa",
    kind="question answering",
    num_train=87599,
    num_dev=10570,
    dev="dev.json",
    metric="f1",
    chosen_by="f1",
    baseline=0.0,
    warnings=["3 questions are left out"],
)


def test_a_dry_run_of_a_finetuning_describes_its_data_and_queues_nothing(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FinetuneSpec] = []

    def answer(module: str, request: str) -> str:
        assert importlib.util.find_spec(module) is not None
        asked.append(FinetuneSpec.model_validate_json(request))
        return _DESCRIPTION.model_dump_json()

    monkeypatch.setattr("bertd.cli.commands.programs.answer_of_module", answer)
    (workplace / "qa.json").write_text('{"data": []}')
    said = bertd("finetune", "@", "--data", "qa.json", "--dry-run")
    assert said.code == 0 and "3 questions are left out" in said.err
    assert said.out.startswith("qa: question answering, 87,599 training and 10,570 development examples\n")
    assert said.out.endswith("nothing was queued; submit it without --dry-run\n")
    assert asked[0].own is not None and asked[0].own.is_squad and asked[0].data_dir == str(workplace)
    assert json.loads(bertd("finetune", "@", "--data", "qa.json", "--dry-run", "--json").out)["num_dev"] == 10570
    assert not daemon.requests


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--lr", "1e-5"], "for one finetuning leave out --preset, --seeds, --halving"),
        (["--via", "mnli"], "it is for GLUE's rte, mrpc and sts-b"),
        (["--preset", "modern"], "none for data of your own"),
        (["--halving"], "quick has one setting"),
        (["--tasks", "cola"], "leave --tasks out"),
    ],
)
def test_a_grid_of_ones_own_task_that_cannot_be_is_not_queued(
    bertd: Bertd,
    daemon: FakeDaemon,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    remedy: str,
) -> None:
    monkeypatch.setattr("bertd.cli.commands.programs.answer_of_module", lambda *_: _DESCRIPTION.model_dump_json())
    (workplace / "t.csv").touch()
    columns = [] if "--tasks" in options else ["--text", "a", "--label", "y", "--seeds", "2"]
    said = bertd("finetune", "@", "--data", "t.csv", *columns, *options)
    assert said.code == 2
    assert remedy in " ".join(said.err.replace("│", " ").split())
    assert not daemon.requests


def test_a_grid_of_ones_own_task_is_read_first_and_then_one_job(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.cli.commands.programs.answer_of_module", lambda *_: _DESCRIPTION.model_dump_json())
    (workplace / "t.csv").touch()
    order = ["finetune", "@", *_TABLE, "--preset", "paper", "--keep", "best"]
    daemon.grid_estimate = daemon.grid_estimate.model_copy(update={"assumed": {"t": [16, 64]}})
    said = bertd(*order, "--dry-run")
    assert said.out.startswith("qa: question answering, 87,599 training and 10,570 development examples\n")
    assert "t was not measured with batch 16 and 64: an epoch is taken to need as long as with the" in said.out
    assert "3 questions are left out" in said.err
    said = bertd(*order)
    assert said.code == 0 and said.out.count("trials:") == 1
    own = OwnTask(train=str(workplace / "t.csv"), text=("a",), label="y")
    assert SubmitGrid.model_validate_json(daemon.requests[-1].body) == SubmitGrid(
        run="@",
        tasks=["t"],
        own=own,
        num_train=87599,
        preset=Preset.PAPER,
        keep=Keep.BEST,
        data_dir=str(workplace),
    )


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--tasks", "cola,nope"], "'nope' is not a GLUE task"),
        (["--tasks", "cola", "--lr", "1e-5"], "a grid tries its preset's settings"),
        (["--tasks", "cola", "--task", "cola"], "a grid tries its preset's settings"),
        (["--tasks", "wnli", "--preset", "modern"], "modern has no published setting for wnli"),
        (["--tasks", "cola", "--halving", "--preset", "paper"], "the paper's grid is full"),
        (["--tasks", "cola", "--halving"], "quick has one setting for each task"),
        (["--tasks", "rte", "--via", "mnli"], "which the grid must finetune: add it to --tasks"),
        (["--tasks", "cola,mnli", "--via", "mnli"], "is for mrpc, sts-b, rte"),
        (["--task", "cola", "--seeds", "3"], "give --tasks too"),
        (["--tasks", "cola", "--data", "t.csv"], "is a file"),
    ],
)
def test_a_grid_that_cannot_be_is_not_queued(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path, options: list[str], remedy: str
) -> None:
    (workplace / "t.csv").touch()
    said = bertd("finetune", "@", "--data", ".", *options)
    assert said.code == 2
    assert remedy in " ".join(said.err.replace("│", " ").split())
    assert not daemon.requests


_TABLE = ["--data", "t.csv", "--text", "a", "--label", "y"]


def test_a_folder_here_with_a_model_is_finetuned_and_any_other_name_is_a_run(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path
) -> None:
    (workplace / "mine").mkdir()
    assert bertd("finetune", "mine", "--task", "cola", "--data", ".").code == 0
    assert SubmitFinetune.model_validate_json(daemon.requests[-1].body).run == "mine"
    (workplace / "mine" / "config.json").touch()
    said = bertd("finetune", "mine", "--task", "cola", "--data", ".")
    assert SubmitFinetune.model_validate_json(daemon.requests[-1].body).run == str(workplace / "mine")
    assert "mine is the folder here; for a run of this name give its number" in said.err


def test_a_table_of_ones_own_is_submitted_with_its_columns(bertd: Bertd, daemon: FakeDaemon, workplace: Path) -> None:
    for name in ("reviews.csv", "dev.csv"):
        (workplace / name).touch()
    settings = ["--text", "title,body", "--label", "stars", "--metric", "f1", "--keep", "best"]
    assert bertd("finetune", "@", "--data", "reviews.csv", "--dev", "dev.csv", *settings).code == 0
    sent = SubmitFinetune.model_validate_json(daemon.requests[-1].body)
    assert (sent.task, sent.data_dir, sent.keep) == ("reviews", str(workplace), "best")
    assert sent.own == OwnTask(
        train=str(workplace / "reviews.csv"),
        dev=str(workplace / "dev.csv"),
        text=("title", "body"),
        label="stars",
        metric=MetricName.F1,
    )
    assert (
        bertd("finetune", "@", "--data", "reviews.csv", "--text", "a", "--label", "y", "--dev-share", "0.2").code == 0
    )
    own = SubmitFinetune.model_validate_json(daemon.requests[-1].body).own
    assert own is not None and (own.dev, own.dev_share, own.metric) == (None, 0.2, None)


def test_tagged_words_are_submitted_with_columns_by_number(bertd: Bertd, daemon: FakeDaemon, workplace: Path) -> None:
    (workplace / "ner.conll").touch()
    assert bertd("finetune", "@", "--data", "ner.conll").code == 0
    own = SubmitFinetune.model_validate_json(daemon.requests[-1].body).own
    assert own == OwnTask(train=str(workplace / "ner.conll"), text=("1",), label="last") and own.is_tagged
    assert bertd("finetune", "@", "--data", "ner.conll", "--text", "2", "--label", "4").code == 0
    own = SubmitFinetune.model_validate_json(daemon.requests[-1].body).own
    assert own is not None and (own.text, own.label) == (("2",), "4")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_questions_in_squad_s_json_are_known_by_their_content(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path, encoding: str
) -> None:
    (workplace / "qa.json").write_bytes('{"version": "1.1", "data": []}'.encode(encoding))
    assert bertd("finetune", "@", "--data", "qa.json", "--dev", "qa.json").code == 0
    path = str(workplace / "qa.json")
    own = SubmitFinetune.model_validate_json(daemon.requests[-1].body).own
    assert own == OwnTask(train=path, dev=path, is_squad=True, text=("question", "context"), label="answers")
    # With the columns of a table, it is one.
    assert bertd("finetune", "@", "--data", "qa.json", "--text", "version", "--label", "data").code == 0
    own = SubmitFinetune.model_validate_json(daemon.requests[-1].body).own
    assert own is not None and not own.is_squad


@pytest.mark.parametrize(
    ("options", "option", "remedy"),
    [
        (["--data", "."], "--task", "give a GLUE task"),
        (["--data", "rows.json"], "--text", "name its columns"),
        (["--data", "object.json"], "--data", "without the array 'data' of SQuAD's JSON"),
        (["--data", "squad.json", "--dev", "rows.json"], "--dev", "rows.json is not SQuAD's JSON"),
        (["--data", "hub.json"], "--data", "has questions as rows of a table"),
        (["--data", "t.csv", "--text", "a,y", "--label", "y"], "--label", "'y' is a column of --text, too"),
        (["--data", "t.csv", "--text", "a,a", "--label", "y"], "--text", "'a,a' names a column twice"),
        (["--data", ".", "--task", "cola", "--label", "y"], "--label", "describes a table"),
        (["--data", "t.csv", "--task", "cola"], "--task", "a table of your own"),
        (["--data", "t.csv"], "--text", "name its columns"),
        (["--data", "t.csv", "--text", "a"], "--label", "name its columns"),
        (["--data", "t.csv", "--text", "a,b,c", "--label", "y"], "--text", "one column, or two"),
        ([*_TABLE, "--dev-share", "1"], "--dev-share", "below 1"),
        (
            ["--data", "t.csv", "--text", "a", "--label", "y", "--dev-share", ".1", "--dev", "t.csv"],
            "--dev-share",
            "given",
        ),
        ([*_TABLE, "--metric", "bleu"], "--metric", "accuracy"),
    ],
)
def test_options_that_do_not_describe_a_table_are_refused(
    bertd: Bertd, daemon: FakeDaemon, workplace: Path, options: list[str], option: str, remedy: str
) -> None:
    files = {"t.csv": "", "rows.json": '[{"a": 1}]', "object.json": '{"a": 1}', "squad.json": '{"data": []}'}
    files["hub.json"] = '[{"question": "q", "context": "c", "answers": {"text": ["c"], "answer_start": [0]}}]'
    for name, content in files.items():
        (workplace / name).write_text(content)
    said = bertd("finetune", "@", *options)
    assert said.code == 2
    assert option in said.err and remedy in " ".join(said.err.replace("│", " ").split())
    assert not daemon.requests


def test_the_metrics_that_the_command_line_offers_are_those_of_a_spec() -> None:
    assert get_args(Metric) == tuple(MetricName)
    assert get_args(Kept) == tuple(Keep)
    assert get_args(PresetName) == tuple(Preset)
    assert get_args(ViaName) == get_args(Via)


def test_a_table_is_named_by_its_file_or_its_folder() -> None:
    names = {name_own_task(Path(path)) for path in ("/a/reviews/train.csv", "/a/reviews.tsv")}
    assert names == {"reviews"}
    assert name_own_task(Path("/a/cola.csv")) == "own-cola"


def test_a_missing_data_folder_is_a_wrong_command_line(bertd: Bertd) -> None:
    said = bertd("finetune", "@", "--task", "cola", "--data", "absent")
    assert said.code == 2
    assert "absent" in said.err

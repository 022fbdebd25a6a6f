from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.scheduling.moved_folders import renew_paths
from bertd.records import CommandJobSpec, FinetuneSpec, JobKind
from bertd.run.paths import JobPaths, StatePaths


def write_spec(paths: JobPaths, *, source: str, source_name: str) -> None:
    paths.root.mkdir(parents=True)
    spec = FinetuneSpec(task="cola", data_dir="/data", source=source, source_name=source_name, epochs=7)
    paths.finetune_spec.write_text(spec.model_dump_json())


@pytest.mark.parametrize(
    ("source", "source_name", "is_renewed"),
    [
        ("/old/runs/1-a/exports/step-000000009", "1-a/step-000000009", True),
        ("/old/runs/1-a/exports/step-000000010", "1-a/step-000000010", False),
        ("/", "1-a/step-000000009", False),
        ("/models/bert", "/models/bert", False),
        ("/models/bert", "bert", False),
    ],
)
def test_an_export_is_found_where_its_run_is_if_its_old_path_is_gone(
    tmp_path: Path, source: str, source_name: str, is_renewed: bool
) -> None:
    state = StatePaths(tmp_path)
    export = state.run("1-a").exports / "step-000000009"
    export.mkdir(parents=True)
    paths = state.run("1-a").finetune(2)
    write_spec(paths, source=source, source_name=source_name)
    renew_paths(paths, JobKind.FINETUNE, state=state)
    spec = FinetuneSpec.model_validate_json(paths.finetune_spec.read_bytes())
    assert (spec.source, spec.epochs) == (str(export) if is_renewed else source, 7)


@pytest.mark.parametrize(("run_id", "is_renewed"), [("1-a", True), ("2-b", False)])
def test_the_run_of_a_command_is_found_too_and_its_environment_stays_the_daemons_alone(
    tmp_path: Path, run_id: str, is_renewed: bool
) -> None:
    state = StatePaths(tmp_path)
    (run := state.run("1-a").root).mkdir(parents=True)
    (paths := state.command(3)).root.mkdir(parents=True)
    old = f"/old/runs/{run_id}"
    spec = CommandJobSpec(
        argv=["true"], cwd="/", environment={"A": "b"}, job_id=3, run_id=run_id, run_folder=old, num_cpus=1
    )
    paths.command_spec.write_text(spec.model_dump_json())
    paths.command_spec.chmod(0o600)
    renew_paths(paths, JobKind.COMMAND, state=state)
    assert CommandJobSpec.model_validate_json(paths.command_spec.read_bytes()) == spec.model_copy(
        update={"run_folder": str(run) if is_renewed else old}
    )
    assert paths.command_spec.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", JobKind)
def test_a_spec_that_cannot_be_read_is_left_to_the_job(tmp_path: Path, kind: JobKind) -> None:
    paths = JobPaths(tmp_path)
    paths.finetune_spec.write_text("{")
    renew_paths(paths, kind, state=StatePaths(tmp_path))
    assert paths.finetune_spec.read_text() == "{"

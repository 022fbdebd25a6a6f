"""Find the export of a finetuning again after the state folder was moved: its spec has the absolute path."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from bertd.records import FinetuneSpec, GridSpec, JobKind
from bertd.run.atomic_files import atomic_write
from bertd.run.paths import JobPaths, StatePaths

_SPECS: dict[JobKind, type[FinetuneSpec] | type[GridSpec]] = {JobKind.FINETUNE: FinetuneSpec, JobKind.GRID: GridSpec}


def renew_export_path(paths: JobPaths, kind: JobKind, *, state: StatePaths) -> None:
    """Write the export's path anew if it is gone and the run's folder in this state folder has the export.

    A spec that cannot be read is left to the finetuning, which reports it.

    Raises:
        StorageError: the disk refused.
    """
    if kind not in _SPECS:
        return
    path = paths.grid_spec if kind is JobKind.GRID else paths.finetune_spec
    try:
        spec = _SPECS[kind].model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return
    run_id, _, step = spec.source_name.partition("/")
    export = state.run(run_id).exports / step
    if run_id and step and not Path(spec.source).is_dir() and export.is_dir():
        atomic_write(path, spec.model_copy(update={"source": str(export)}).model_dump_json(indent=2))

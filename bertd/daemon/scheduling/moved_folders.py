"""Find the export of a finetuning, or the run of a command, again after the state folder was moved.

Their specs have absolute paths, since an export may also be elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from bertd.records import PROGRAM_KINDS, CommandJobSpec, FinetuneSpec, GridSpec, JobKind
from bertd.run.atomic_files import atomic_write
from bertd.run.bounded_read import read_bounded
from bertd.run.paths import JobPaths, StatePaths

_Spec: TypeAlias = FinetuneSpec | GridSpec | CommandJobSpec


def renew_paths(paths: JobPaths, kind: JobKind, *, state: StatePaths) -> None:
    """Write the spec's path anew if it is gone, and this state folder has what it was of.

    A spec that cannot be read is left to the job, which reports it.

    Raises:
        StorageError: the disk refused.
    """
    places: dict[JobKind, tuple[Path, type[_Spec]]] = {
        JobKind.FINETUNE: (paths.finetune_spec, FinetuneSpec),
        JobKind.GRID: (paths.grid_spec, GridSpec),
        **dict.fromkeys(PROGRAM_KINDS, (paths.command_spec, CommandJobSpec)),
    }
    if kind not in places:
        return
    path, model = places[kind]
    try:
        spec = model.model_validate_json(read_bounded(path))
        mode = path.stat().st_mode & 0o777
    except (OSError, ValidationError):
        return
    if (changes := _find_changes(spec, state=state)) is not None:
        # The spec of a command has its environment: nobody else may read it.
        atomic_write(path, spec.model_copy(update=changes).model_dump_json(indent=2), mode=mode)


def _find_changes(spec: _Spec, *, state: StatePaths) -> dict[str, str] | None:
    """The field that has another path here; None where none has."""
    if isinstance(spec, CommandJobSpec):
        if spec.run_id is None or spec.run_folder is None:
            return None
        field, old, found = "run_folder", spec.run_folder, state.run(spec.run_id).root
    else:
        run_id, _, step = spec.source_name.partition("/")
        if not run_id or not step:
            return None
        field, old, found = "source", spec.source, state.run(run_id).exports / step
    return {field: str(found)} if not Path(old).is_dir() and found.is_dir() else None

"""`python -m bertd.program bertd.glue.describe_data`: a FinetuneSpec on the input, a TaskDescription on the output.

Reads the task's data as the finetuning would, so that what is wrong with it is known before anything is queued. The
export is not read.
"""

from __future__ import annotations

import sys

from pydantic import ValidationError

from bertd.errors import RecipeError
from bertd.glue.kinds.read_kind import read_kind
from bertd.program import run_main
from bertd.records import FinetuneSpec, TaskDescription


def main() -> int:
    """Answer the request on the input."""
    return run_main(_main)


def _main() -> None:
    try:
        spec = FinetuneSpec.model_validate_json(sys.stdin.buffer.read())
    except ValidationError as error:
        raise RecipeError("standard input: not a finetuning's spec; `bertd finetune --dry-run` writes it") from error
    kind = read_kind(spec)
    description = TaskDescription(
        task=kind.name,
        kind=str(kind.head.kind),
        num_train=kind.num_train,
        num_dev=kind.num_dev,
        dev=kind.dev_description,
        metric=kind.headline,
        chosen_by=kind.selection_metric,
        baseline=kind.baseline()[kind.headline],
        warnings=[message for _, message in kind.warnings],
    )
    print(description.model_dump_json())

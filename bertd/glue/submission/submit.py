"""`python -m bertd.program bertd.glue.submission.submit`: a SubmissionRequest on the input; write the zip.

First it is found out what is missing: models, test files. Only then is anything predicted, with the whole list on
standard error; without `is_partial` nothing is written that the leaderboard would refuse.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bertd.errors import CheckpointError, CorpusError, RecipeError
from bertd.glue.__main__ import wait_passively
from bertd.glue.data.unlabelled import UnlabelledSplit, read_hub_test, read_test_file
from bertd.glue.submission.layout import SUBMITTED_FILES, SubmittedFile, format_submission
from bertd.program import run_main
from bertd.records import ChosenModel, SubmissionRequest
from bertd.run.atomic_files import SHARED_MODE, atomic_write

if TYPE_CHECKING:
    from bertd.glue.model.classifier import Classifier

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of each file, so that equal predictions give equal bytes."""


def main() -> int:
    """Answer the request on the input."""
    return run_main(_main)


def _main() -> None:
    try:
        request = SubmissionRequest.model_validate_json(sys.stdin.buffer.read())
    except ValidationError as error:
        raise RecipeError("standard input: not a request; `bertd glue submit` writes one") from error
    wait_passively()
    write_submission(request)


def write_submission(request: SubmissionRequest) -> None:
    """Predict every test set and write the zip whole.

    Raises:
        CheckpointError: a task has no model, and a partial zip was not asked for; or a model is of another task.
        CorpusError: a test file is missing, and a partial zip was not asked for; or one is wrong.
        NumericsError: a prediction is not finite.
        StorageError: the disk refused.
    """
    data_dir = Path(request.data_dir)
    absent = [file for file in SUBMITTED_FILES if not _is_there(file, data_dir=data_dir)]
    for file in absent:
        print(f"{file.name}: the test file {data_dir / file.test_file} is missing", file=sys.stderr)
    for task, reason in request.gaps.items():
        print(f"{task}: {reason}", file=sys.stderr)
    models = {model.task: model for model in request.models}
    written = [file for file in SUBMITTED_FILES if file not in absent and file.task.name in models]
    if len(written) < len(SUBMITTED_FILES) and not request.is_partial:
        raise (CheckpointError if request.gaps else CorpusError)(
            f"{len(written)} of the leaderboard's {len(SUBMITTED_FILES)} files can be written, and it takes only all; "
            "the others are above. With --partial those are written"
        )
    if not written:
        raise CheckpointError("no file of the leaderboard can be written; what is missing is above")
    # Reading shows what is wrong with the data before a model is loaded.
    splits = {file.name: _read(file, data_dir=data_dir) for file in written}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for task, model in models.items():
            of_task = [file for file in written if file.task.name == task]
            for name, text in _predict(of_task, model, splits):
                archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), text, zipfile.ZIP_DEFLATED)
    atomic_write(Path(request.out), content.getvalue(), mode=SHARED_MODE)
    kind = "all" if len(written) == len(SUBMITTED_FILES) else f"{len(written)} of {len(SUBMITTED_FILES)}"
    print(f"{request.out}: {kind} files of the leaderboard")


def _predict(
    files: list[SubmittedFile], model: ChosenModel, splits: dict[str, UnlabelledSplit]
) -> list[tuple[str, str]]:
    """Name and content of each file that one model answers."""
    if not files:
        return []
    # torch and transformers take seconds to load, which a list of what is missing need not wait for.
    from bertd.glue.kinds.sequence_classification import predict
    from bertd.glue.model.finetuned_model import load_finetuned
    from bertd.run.recipe.schema import PrecisionSection
    from bertd.train.backends.leased_device import choose_device
    from bertd.train.backends.precision import choose_precision

    classifier, _ = load_finetuned(Path(model.folder))
    _require_labels(classifier, files[0], folder=model.folder)
    device = choose_device()
    precision = choose_precision(PrecisionSection(mode="fp32"), device)
    answers = []
    for file in files:
        read = splits[file.name]
        predicted = predict(classifier, file.task, read.split, device=device, precision=precision)
        answers.append((file.name, format_submission(file, indices=read.indices, predicted=predicted)))
        print(f"{file.name}: {len(read.indices):,} rows by {model.description}", flush=True)
    return answers


def _require_labels(classifier: Classifier, file: SubmittedFile, *, folder: str) -> None:
    by_id = dict(classifier.model.config.id2label)
    names = tuple(str(by_id[number]) for number in range(len(by_id)))
    if names != file.task.head.names:
        raise CheckpointError(
            f"{folder}: predicts {', '.join(names)}, but {file.task.name} has {', '.join(file.task.head.names)}; "
            "finetune again with --keep best"
        )


def _is_there(file: SubmittedFile, *, data_dir: Path) -> bool:
    return (data_dir / file.test_file).is_file() or _is_on_hub_layout(file, data_dir=data_dir)


def _is_on_hub_layout(file: SubmittedFile, *, data_dir: Path) -> bool:
    from bertd.glue.data.hub_layout import find_files

    return bool(find_files(data_dir / file.hub_folder, file.hub_split))


def _read(file: SubmittedFile, *, data_dir: Path) -> UnlabelledSplit:
    path = data_dir / file.test_file
    if path.is_file():
        return read_test_file(file.task, path=path)
    return read_hub_test(file.task, folder=data_dir / file.hub_folder, split=file.hub_split)

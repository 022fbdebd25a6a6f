"""The options of `bertd finetune` that describe a task of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from bertd.records import GLUE_TASKS, LAST_COLUMN, SQUAD_LABEL, SQUAD_TEXT, MetricName, OwnTask, is_tagged_file

_MAX_TEXT_COLUMNS = 2
_SQUAD_ROW = {"context", "question", "answers"}


def make_own_task(
    data: Path,
    *,
    task: str | None,
    text: str | None,
    label: str | None,
    dev: Path | None,
    dev_share: float | None,
    metric: MetricName | None,
) -> OwnTask | None:
    """The task that the options describe; None for a GLUE task.

    Raises:
        BadParameter: the options do not fit each other.
    """
    given = {"--text": text, "--label": label, "--dev": dev, "--dev-share": dev_share, "--metric": metric}
    if data.is_dir():
        if task is None:
            raise typer.BadParameter(f"{data} is a folder: give a GLUE task", param_hint="--task")
        for option, value in given.items():
            if value is not None:
                raise typer.BadParameter("describes a table, and --data is a folder of GLUE", param_hint=option)
        return None
    if task is not None:
        raise typer.BadParameter(f"is GLUE's, and --data {data} is a table of your own", param_hint="--task")
    if is_tagged_file(str(data)):
        text, label = text or "1", label or LAST_COLUMN
    is_squad = text is None and label is None and is_squad_file(data)
    if is_squad:
        text, label = ",".join(SQUAD_TEXT), SQUAD_LABEL
        if dev is not None and not is_squad_file(dev):
            raise typer.BadParameter(f"{dev} is not SQuAD's JSON, and --data {data} is", param_hint="--dev")
    if text is None or label is None:
        raise typer.BadParameter(
            f"{data} is a table: name its columns, as --text sentence --label label",
            param_hint="--text" if text is None else "--label",
        )
    if dev_share is not None and (dev is not None or not 0 < dev_share < 1):
        why = "--dev is given" if dev is not None else "it must be above 0 and below 1"
        raise typer.BadParameter(f"{dev_share:g} cannot be held out: {why}", param_hint="--dev-share")
    columns = split_columns(text)
    if label in columns or len(set(columns)) < len(columns):
        raise typer.BadParameter(
            f"{label!r} is a column of --text, too" if label in columns else f"{text!r} names a column twice",
            param_hint="--label" if label in columns else "--text",
        )
    return OwnTask(
        train=str(data.absolute()),
        dev=None if dev is None else str(dev.absolute()),
        text=columns,
        label=label,
        metric=metric,
        is_squad=is_squad,
        **({} if dev_share is None else {"dev_share": dev_share}),
    )


def is_squad_file(path: Path) -> bool:
    """Whether a file has questions in SQuAD's JSON, rather than a table that needs --text and --label.

    Raises:
        BadParameter: it has one JSON object, but not SQuAD's, which is not a table either; or questions in rows.
    """
    if path.suffix.lower() != ".json":
        return False
    try:
        # By its mark, UTF-8, UTF-16 or UTF-32.
        tree = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        # As a table, it is read by the job, which names the line.
        return False
    if isinstance(tree, list) and tree and isinstance(tree[0], dict) and tree[0].keys() >= _SQUAD_ROW:
        raise typer.BadParameter(
            f"{path} has questions as rows of a table, as the hub's copies of SQuAD do; give SQuAD's own JSON, which "
            "has the array 'data'",
            param_hint="--data",
        )
    if not isinstance(tree, dict):
        return False
    if not isinstance(tree.get("data"), list):
        raise typer.BadParameter(
            f"{path} has one JSON object without the array 'data' of SQuAD's JSON; give questions in that format, or a "
            "table with --text and --label",
            param_hint="--data",
        )
    return True


def split_columns(text: str) -> tuple[str, ...]:
    """The one or two columns that --text names.

    Raises:
        BadParameter: it names none, or more than two.
    """
    columns = tuple(name.strip() for name in text.split(","))
    if not all(columns) or len(columns) > _MAX_TEXT_COLUMNS:
        raise typer.BadParameter(f"{text!r}: give one column, or two with a comma between them", param_hint="--text")
    return columns


def name_own_task(data: Path) -> str:
    """A name for the table's task: that of its file, or of its folder if the file is called train."""
    name = data.stem if data.stem.lower() != "train" else data.absolute().parent.name or data.stem
    return f"own-{name}" if name in GLUE_TASKS else name

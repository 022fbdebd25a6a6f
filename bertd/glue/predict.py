"""`bertd predict FOLDER FILE`: the labels that a finetuned model gives to the texts of a table.

Writes a row for each row of the table, in its order: the label and its probability, or the predicted number. Needs no
daemon and no column of labels.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import CorpusError
from bertd.program import run_main

_OUTPUT_SUFFIXES = (".tsv", ".csv", ".jsonl")
_MAX_TEXT_COLUMNS = 2


@dataclass(frozen=True)
class _Predictions:
    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]]


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(lambda: _main(_parse_arguments(argv)))


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bertd predict", description="Write the labels that a finetuned model gives to the texts of a table."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a finetuned model, as --keep best leaves it")
    parser.add_argument("file", type=Path, metavar="FILE", help="a table: .csv, .tsv, .jsonl, .json or .parquet")
    parser.add_argument("--text", metavar="A[,B]", help="its columns of text (those that the model was trained on)")
    parser.add_argument("--out", type=Path, metavar="FILE", help=".tsv, .csv or .jsonl to write (TSV on the output)")
    args = parser.parse_args(argv)
    if args.text is not None:
        args.text = tuple(name.strip() for name in args.text.split(","))
        if not all(args.text) or len(args.text) > _MAX_TEXT_COLUMNS:
            parser.error(f"--text {','.join(args.text)!r}: give one column, or two with a comma between them")
    if args.out is not None and args.out.suffix.lower() not in _OUTPUT_SUFFIXES:
        parser.error(f"--out {args.out}: end the name in one of {', '.join(_OUTPUT_SUFFIXES)}")
    return args


def _main(args: argparse.Namespace) -> None:
    suffix = ".tsv" if args.out is None else args.out.suffix.lower()
    # As in a finetuning; must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    predictions = _predict(args.folder, args.file, text=args.text)
    content = _format(predictions, suffix=suffix)
    if args.out is None:
        sys.stdout.write(content)
        return
    from bertd.run.atomic_files import SHARED_MODE, atomic_write

    atomic_write(args.out, content, mode=SHARED_MODE)
    print(f"{args.out}: {len(predictions.rows)} predictions", file=sys.stderr)


def _predict(folder: Path, path: Path, *, text: tuple[str, ...] | None) -> _Predictions:
    from bertd.glue.data.examples import Example
    from bertd.glue.data.own_task import read_texts
    from bertd.glue.data.tables import read_table
    from bertd.glue.device import choose_device
    from bertd.glue.model.finetuned_model import load_finetuned
    from bertd.glue.training.encoding import encode
    from bertd.glue.training.evaluate import predict_outputs
    from bertd.run.recipe.schema import PrecisionSection
    from bertd.train.backends.precision import choose_precision

    classifier, description = load_finetuned(folder)
    if text is not None:
        columns = text
    elif description is not None:
        columns = description.text
    else:
        raise CorpusError(f"{folder}: does not say which columns it was trained on; name those of {path} with --text")
    texts = read_texts(read_table(path, columns), num_columns=len(columns))
    examples = [Example(cells[0], cells[1] if len(cells) > 1 else None, 0.0) for cells in texts]
    device = choose_device()
    precision = choose_precision(PrecisionSection(mode="fp32"), device)
    outputs_NC = predict_outputs(
        classifier, encode(examples, classifier), place=path, device=device, precision=precision
    )
    names = dict(classifier.model.config.id2label)
    if len(names) == 1:
        return _Predictions(("score",), [(value,) for value in outputs_NC[:, 0].tolist()])
    best = outputs_NC.softmax(dim=1).max(dim=1)
    rows: list[tuple[str | float, ...]] = [
        (str(names[label]), probability)
        for label, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return _Predictions(("label", "probability"), rows)


def _format(predictions: _Predictions, *, suffix: str) -> str:
    rows = [[f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in predictions.rows]
    if suffix == ".jsonl":
        records = [dict(zip(predictions.columns, row, strict=True)) for row in predictions.rows]
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if suffix == ".csv" else "\t", lineterminator="\n")
    writer.writerows([predictions.columns, *rows])
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())

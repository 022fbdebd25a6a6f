"""`bertd predict FOLDER FILE`: the labels that a finetuned model gives to the texts of a table, or to words.

Writes a row for each row of the table, in its order: the label and its probability, or the predicted number; of
words, a line for each with its tag, as CoNLL does. Needs no daemon and no column of labels.
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
from typing import TYPE_CHECKING

from bertd.errors import CorpusError
from bertd.program import run_main
from bertd.records import TAGGED_SUFFIXES

if TYPE_CHECKING:
    import torch

    from bertd.glue.model.classifier import Classifier
    from bertd.train.backends.precision import Precision

_TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl")
_OUTPUT_SUFFIXES = (*_TABLE_SUFFIXES, *TAGGED_SUFFIXES)
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
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a table: .csv, .tsv, .jsonl, .json or .parquet; or words, one a line"
    )
    parser.add_argument("--text", metavar="A[,B]", help="its columns of text (those that the model was trained on)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=".tsv, .csv or .jsonl, or .conll for tags (TSV on the output)"
    )
    args = parser.parse_args(argv)
    if args.text is not None:
        args.text = tuple(name.strip() for name in args.text.split(","))
        if not all(args.text) or len(args.text) > _MAX_TEXT_COLUMNS:
            parser.error(f"--text {','.join(args.text)!r}: give one column, or two with a comma between them")
    if args.out is not None and args.out.suffix.lower() not in _OUTPUT_SUFFIXES:
        parser.error(f"--out {args.out}: end the name in one of {', '.join(_OUTPUT_SUFFIXES)}")
    return args


def _main(args: argparse.Namespace) -> None:
    suffix = None if args.out is None else args.out.suffix.lower()
    # As in a finetuning; must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    predictions = _predict(args.folder, args.file, text=args.text, suffix=suffix)
    content = _format(predictions, suffix=suffix)
    if args.out is None:
        sys.stdout.write(content)
        return
    from bertd.run.atomic_files import SHARED_MODE, atomic_write

    atomic_write(args.out, content, mode=SHARED_MODE)
    print(f"{args.out}: {sum(map(bool, predictions.rows))} predictions", file=sys.stderr)


def _predict(folder: Path, path: Path, *, text: tuple[str, ...] | None, suffix: str | None) -> _Predictions:
    from bertd.glue.data.examples import Example
    from bertd.glue.data.own_task import read_texts
    from bertd.glue.data.tables import read_table
    from bertd.glue.device import choose_device
    from bertd.glue.model.finetuned_model import load_finetuned
    from bertd.glue.model.head import HeadKind
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
    device = choose_device()
    precision = choose_precision(PrecisionSection(mode="fp32"), device)
    if suffix is not None and (classifier.kind is HeadKind.TOKENS) != (suffix in TAGGED_SUFFIXES):
        kinds = TAGGED_SUFFIXES if classifier.kind is HeadKind.TOKENS else _TABLE_SUFFIXES
        raise CorpusError(f"--out: {folder} is a {classifier.kind}; end the name in one of {', '.join(kinds)}")
    if classifier.kind is HeadKind.TOKENS:
        return _tag_words(classifier, path, column=columns[0], device=device, precision=precision)
    texts = read_texts(read_table(path, columns), num_columns=len(columns))
    examples = [Example(cells[0], cells[1] if len(cells) > 1 else None, 0.0) for cells in texts]
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


def _tag_words(
    classifier: Classifier, path: Path, *, column: str, device: torch.device, precision: Precision
) -> _Predictions:
    """A row for each word, with its tag, and an empty one after each sentence.

    Raises:
        CorpusError: the tokenizer leaves nothing of any word.
    """
    from bertd.glue.data.tagged import read_tagged
    from bertd.glue.kinds.entities import OUTSIDE
    from bertd.glue.kinds.token_classification import read_tags
    from bertd.glue.training.encode_words import encode_words
    from bertd.glue.training.evaluate import predict_outputs

    sentences = [sentence.words for sentence in read_tagged(path, text=column, label=None)]
    encoded = encode_words(sentences, None, classifier)
    if not encoded:
        raise CorpusError(f"{path}: the tokenizer leaves nothing of its words; check --text")
    examples = [part.example for part in encoded]
    outputs_NC = predict_outputs(classifier, examples, place=path, device=device, precision=precision)
    by_id = dict(classifier.model.config.id2label)
    names = [str(by_id[number]) for number in range(len(by_id))]
    fallback = OUTSIDE if OUTSIDE in names else names[0]
    tags = read_tags(outputs_NC, encoded, words=sentences, names=names, fallback=fallback)
    rows: list[tuple[str | float, ...]] = []
    for words, of_words in zip(sentences, tags, strict=True):
        rows += [*zip(words, of_words, strict=True), ()]
    return _Predictions((), rows)


def _format(predictions: _Predictions, *, suffix: str | None) -> str:
    if not predictions.columns:
        # Not by the csv module: in CoNLL's columns a quote is a character like any other.
        return "".join("\t".join(map(str, row)) + "\n" for row in predictions.rows)
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

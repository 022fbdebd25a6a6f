"""`bertd predict FOLDER FILE`: the labels that a finetuned model gives to the texts of a table, or to words, or the
answers to questions.

Writes a row for each row of the table, in its order: the label and its probability, or the predicted number; of
words, a line for each with its tag, as CoNLL does; of questions, a JSON object of answers by id, as SQuAD's official
scripts take it. Needs no daemon and no column of labels.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertd.errors import CorpusError
from bertd.program import print_note, run_main
from bertd.records import TAGGED_SUFFIXES

if TYPE_CHECKING:
    import torch

    from bertd.glue.model.classifier import Classifier
    from bertd.glue.model.finetuned_model import FinetuningDescription
    from bertd.train.backends.precision import Precision

_TABLE_SUFFIXES = (".tsv", ".csv", ".jsonl")
_ANSWER_SUFFIXES = (".json",)
_OUTPUT_SUFFIXES = (*_TABLE_SUFFIXES, *TAGGED_SUFFIXES, *_ANSWER_SUFFIXES)
_NULL_ODDS_SUFFIX = ".null-odds.json"
"""Replaces the one of the output's name in that of the log-odds of no answer."""
_MAX_TEXT_COLUMNS = 2
DEFAULT_NULL_THRESHOLD = 0.0
"""Log-odds of no answer above which a question of SQuAD 2.0 gets none from a stock model, whose folder has no
threshold. Source: the default of null_score_diff_threshold in transformers' run_qa.py."""


@dataclass(frozen=True)
class _Predictions:
    columns: tuple[str, ...]
    rows: list[tuple[str | float, ...]]


@dataclass(frozen=True)
class _Answers:
    by_id: dict[str, str]
    null_odds: dict[str, float] | None
    """Log-odds of no answer; None if each question gets an answer."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(lambda: _main(_parse_arguments(argv)))


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bertd predict",
        description="Write the labels that a finetuned model gives to a table's texts, or its answers to questions.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a finetuned model, as --keep best leaves it")
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a table: .csv, .tsv, .jsonl, .json or .parquet; or words, one a line; or SQuAD's JSON",
    )
    parser.add_argument("--text", metavar="A[,B]", help="its columns of text (those that the model was trained on)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=".tsv, .csv or .jsonl; .conll for tags; .json for answers (TSV or JSON on the output)",
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
    if isinstance(predictions, _Answers):
        content, num_predictions = _to_json(predictions.by_id), len(predictions.by_id)
    else:
        content, num_predictions = _format(predictions, suffix=suffix), sum(map(bool, predictions.rows))
    if args.out is None:
        sys.stdout.write(content)
        return
    from bertd.run.atomic_files import SHARED_MODE, atomic_write

    atomic_write(args.out, content, mode=SHARED_MODE)
    print(f"{args.out}: {num_predictions} predictions", file=sys.stderr)
    if isinstance(predictions, _Answers) and predictions.null_odds is not None:
        path = args.out.with_suffix(_NULL_ODDS_SUFFIX)
        atomic_write(path, _to_json(predictions.null_odds), mode=SHARED_MODE)
        print(f"{path}: log-odds of no answer, for --na-prob-file of the official script", file=sys.stderr)


def _to_json(values: Mapping[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _predict(folder: Path, path: Path, *, text: tuple[str, ...] | None, suffix: str | None) -> _Predictions | _Answers:
    from bertd.glue.model.finetuned_model import load_finetuned
    from bertd.glue.model.head import HeadKind
    from bertd.run.recipe.schema import PrecisionSection
    from bertd.train.backends.leased_device import choose_device
    from bertd.train.backends.precision import choose_precision

    classifier, description = load_finetuned(folder)
    suffixes = {
        HeadKind.SEQUENCE: _TABLE_SUFFIXES,
        HeadKind.TOKENS: TAGGED_SUFFIXES,
        HeadKind.SPANS: _ANSWER_SUFFIXES,
    }[classifier.kind]
    if suffix is not None and suffix not in suffixes:
        raise CorpusError(f"--out: {folder} is a {classifier.kind}; end the name in one of {', '.join(suffixes)}")
    device = choose_device()
    precision = choose_precision(PrecisionSection(mode="fp32"), device)
    if classifier.kind is HeadKind.SPANS:
        if text is not None:
            raise CorpusError(f"--text: {folder} answers questions of SQuAD's JSON, which has no columns; leave it out")
        return _answer_questions(classifier, path, description=description, device=device, precision=precision)
    if text is not None:
        columns = text
    elif description is not None:
        columns = description.text
    else:
        raise CorpusError(f"{folder}: does not say which columns it was trained on; name those of {path} with --text")
    if classifier.kind is HeadKind.TOKENS:
        return _tag_words(classifier, path, column=columns[0], device=device, precision=precision)
    return _label_texts(classifier, path, columns=columns, device=device, precision=precision)


def _label_texts(
    classifier: Classifier, path: Path, *, columns: tuple[str, ...], device: torch.device, precision: Precision
) -> _Predictions:
    """A row for each row of the table, with its label and the probability, or its number."""
    from bertd.glue.data.examples import Example
    from bertd.glue.data.own_task import read_texts
    from bertd.glue.data.tables import read_table
    from bertd.glue.training.encoding import encode
    from bertd.glue.training.evaluate import predict_outputs

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


def _answer_questions(
    classifier: Classifier,
    path: Path,
    *,
    description: FinetuningDescription | None,
    device: torch.device,
    precision: Precision,
) -> _Answers:
    """The answer to each question; "" is none: by the threshold of a model that learnt it from SQuAD 2.0, and by
    DEFAULT_NULL_THRESHOLD of a stock model that is asked the questions of such a file."""
    from bertd.glue.data.squad import read_squad
    from bertd.glue.kinds.spans import read_answers
    from bertd.glue.training.encode_questions import encode_questions
    from bertd.glue.training.evaluate import predict_outputs

    file = read_squad(path, needs_answers=False)
    questions = file.questions
    windows = encode_questions(questions, None, classifier)
    examples = [window.example for window in windows]
    outputs_N2 = predict_outputs(classifier, examples, place=path, device=device, precision=precision)
    found = read_answers(outputs_N2.double().numpy(), windows, questions)
    threshold = None
    if description is not None:
        threshold = description.null_threshold
    elif file.has_unanswerable:
        threshold = DEFAULT_NULL_THRESHOLD
        print_note(
            f"{path} is of SQuAD 2.0, and the model has no threshold of no answer: a question gets none where the "
            f"log-odds of it are above {DEFAULT_NULL_THRESHOLD:g}"
        )
    ids = [question.id for question in questions]
    return _Answers(
        {id: one.decide(threshold) for id, one in zip(ids, found, strict=True)},
        None if threshold is None else {id: one.null_odds for id, one in zip(ids, found, strict=True)},
    )


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

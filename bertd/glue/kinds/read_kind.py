"""The kind of a finetuning's task, with its examples."""

from __future__ import annotations

from bertd.glue.data.task_data import read_task_data
from bertd.glue.kinds.kind import Kind
from bertd.glue.kinds.question_answering import read_question_answering
from bertd.glue.kinds.sequence_classification import SequenceClassification
from bertd.glue.kinds.token_classification import read_token_classification
from bertd.records import FinetuneSpec


def read_kind(spec: FinetuneSpec) -> Kind:
    """Read the examples that a finetuning learns from and is scored on.

    Raises:
        CorpusError: the task's data is missing or wrong.
    """
    if spec.own is not None and spec.own.is_squad:
        return read_question_answering(spec.task, spec.own)
    if spec.own is not None and spec.own.is_tagged:
        return read_token_classification(spec.task, spec.own)
    return SequenceClassification.of(read_task_data(spec))

"""Find the job that a person names: by its number, its run id, its name if no other has it, or @.

One place for all requests: what one subcommand accepts as an ID, the others accept too.
"""

from __future__ import annotations

import difflib
import re

from bertd.errors import UnknownJobError
from bertd.jobs.store.queue import Job, Queue
from bertd.records import JobKind

_MAX_ID_DIGITS = 18
"""Most digits of a job number, so that SQLite can hold it."""
_NUM_CANDIDATES = 1_000
"""Newest runs among which a similar name is looked for."""
_NUM_SUGGESTIONS = 3
_HELP = "give a job's number, a run id, a name or @; `bertd jobs` lists them"


def find_job(queue: Queue, text: str) -> Job:
    """The job of a number, a run id such as 7-first, a name, or @: what runs, else the newest.

    Raises:
        UnknownJobError: there is none, or several have the name.
    """
    if text == "@":
        return queue.at_work() or queue.newest()
    if _is_number(text):
        return queue.get(int(text))
    return _find_by_id_or_name(queue, text, runs_only=False)


def find_run(queue: Queue, text: str) -> Job:
    """The pretraining of a run id, a name, the number of its job or of a finetuning of it, or @ as for `find_job`.

    Raises:
        UnknownJobError: there is none, or several have the name.
    """
    if text == "@":
        return queue.at_work(kind=JobKind.PRETRAIN) or queue.newest(kind=JobKind.PRETRAIN)
    if not _is_number(text):
        return _find_by_id_or_name(queue, text, runs_only=True)
    job = queue.get(int(text))
    return job if job.kind is JobKind.PRETRAIN else queue.get_by_run(job.run_id)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_ID_DIGITS


def _find_by_id_or_name(queue: Queue, text: str, *, runs_only: bool) -> Job:
    try:
        return queue.get_by_run(text)
    except UnknownJobError:
        pass
    named = queue.named(text)
    # A finetuning has the name of its task: that of a run is meant first.
    candidates = [job for job in named if job.kind is JobKind.PRETRAIN] or ([] if runs_only else named)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise UnknownJobError(f"{text}: {len(candidates)} jobs have this name; did you mean {_offer(candidates)}?")
    near = _similar_run_ids(queue, text)
    did_you_mean = f"did you mean {', '.join(near)}? " if near else ""
    raise UnknownJobError(f"{text!r}: no such {'run' if runs_only else 'job'}; {did_you_mean}{_HELP}")


def _offer(jobs: list[Job]) -> str:
    """The newest of several jobs, each by the id that is its own."""
    ids = [job.run_id if job.kind is JobKind.PRETRAIN else f"job {job.id}" for job in jobs]
    shown = [f"{id} ({job.state})" for id, job in zip(ids, jobs, strict=True)][:_NUM_SUGGESTIONS]
    return ", ".join(shown) + (", ..." if len(jobs) > len(shown) else "")


def _similar_run_ids(queue: Queue, text: str) -> list[str]:
    """Ids of runs whose id or name resembles the text, the most similar first."""
    ids_by_form: dict[str, list[str]] = {}
    for run_id in queue.run_ids(limit=_NUM_CANDIDATES):
        for form in {run_id, re.sub(r"^\d+-", "", run_id)}:
            ids_by_form.setdefault(form, []).append(run_id)
    forms = [form for form in ids_by_form if text and text in form]
    forms += difflib.get_close_matches(text, ids_by_form, n=_NUM_SUGGESTIONS)
    return list(dict.fromkeys(run_id for form in forms for run_id in ids_by_form[form]))[:_NUM_SUGGESTIONS]

"""The report of one run, from its facts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bertd.cli.output.energy_text import format_energy
from bertd.cli.report.document import Bar, Block, Chart, Code, Mark, Paragraph, Report, Section, Series, Table
from bertd.cli.report.forecast_section import forecast_blocks
from bertd.cli.report.recipe_differences import find_differences
from bertd.cli.report.run_facts import MAX_EVENTS, RunFacts
from bertd.metrics.event_text import event_text
from bertd.records import BudgetRecord, EndRecord, ExportRecord, RestartRecord, RollbackRecord, StartRecord, StateRecord
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_amount, format_bytes, format_count, format_share
from bertd.run.dataset_manifest import Manifest
from bertd.run.execution_text import execution_choices
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from bertd.run.time_account import TimeAccount
from bertd.scores.score_summary import GLUE_COLUMNS, TaskSummary, read_published, summarize_scores

_POINTS = 600
_HALF_LIFE = 0.01
"""Of the smoothed loss, as a share of the budget."""
_MAX_MARKS = 40
_MARKED = (StateRecord, RestartRecord, RollbackRecord, BudgetRecord)


def build_report(facts: RunFacts, *, baseline: Recipe, baseline_name: str) -> Report:
    """The whole report.

    Args:
        baseline: the recipe from which this one's differences are shown.
        baseline_name: of it.
    """
    return Report(
        title=facts.name,
        subtitle=_subtitle(facts),
        sections=(
            Section("Result", [_result(facts)]),
            Section("Where the time went", [*_time(facts.account)]),
            Section("Curves", [*_curves(facts)]),
            Section("Forecast", [*forecast_blocks(facts.forecasts, facts.summary.end)]),
            Section("GLUE", [*_glue(facts)]),
            Section("Events", [*_events(facts)]),
            Section("Chosen by measurement", [*_choices(facts.starts)]),
            Section("Recipe", [*_recipe(facts, baseline=baseline, baseline_name=baseline_name)]),
            Section("Data", [*_data(facts)]),
            Section("Provenance", [*_provenance(facts)]),
            Section("Do it again", [*_commands(facts)]),
        ),
    )


def _subtitle(facts: RunFacts) -> str:
    end = facts.summary.end
    model = f"{facts.recipe.model.layers} layers x {facts.recipe.model.width}"
    granted = facts.summary.progress.budget_plan(facts.recipe.granted).granted
    budget = format_budget_amount(granted.unit, granted.amount)
    state = "not over yet" if end is None else f"{end.reason}: {end.detail}"
    return f"{model}, a budget of {budget}; {state}"


def result_rows(facts: RunFacts) -> list[tuple[str, str]]:
    """The run's key figures, each with its name."""
    summary, recipe = facts.summary, facts.recipe
    progress, start, validation, end = summary.progress, summary.start, summary.validation, summary.end
    granted = progress.budget_plan(recipe.granted).granted
    charged_s = facts.account.charged_s
    spent = granted.spent(charged_s=charged_s, steps=progress.step, sequences=progress.sequences)
    rows = []
    if validation is not None:
        part = "" if validation.share == 1.0 else f", on {format_share(validation.share)} of the set"
        rows.append(("validation loss", f"{validation.loss:.4f} nats{part}"))
        rows.append(("guessing by frequency", f"{validation.unigram_entropy:.4f} nats"))
    if summary.best_validation is not None:
        rows.append(("lowest validation loss", f"{summary.best_validation:.4f} nats"))
    amounts = [format_budget_amount(granted.unit, amount) for amount in (spent, granted.amount)]
    rows.append(("budget spent", f"{amounts[0]} of {amounts[1]}"))
    rows.append(("steps", f"{progress.step:,}"))
    rows.append(("sequences", f"{progress.sequences:,}"))
    rows.append(("tokens, padding included", f"{progress.sequences * recipe.data.sequence_length:,}"))
    if start is not None:
        rows.append(("passes over the data", f"{progress.sequences / max(1, start.train_sequences):.2f}"))
        rows.append(("parameters", f"{start.num_parameters:,}"))
        rows.append(("devices", f"{start.world_size} x {start.device_name}, {start.precision}"))
        rows.append(("device-hours charged", f"{_device_hours(facts):,.2f}"))
    if facts.account.training_s > 0:
        rows.append(("sequences/s in training", f"{progress.sequences / facts.account.training_s:,.1f}"))
    if summary.step is not None and summary.step.memory_bytes is not None:
        rows.append(("peak memory of a device", format_bytes(summary.step.memory_bytes)))
    if facts.energy is not None:
        rows.append(("energy", format_energy(facts.energy)))
    if summary.restarts or summary.steps_lost:
        rows.append(("restarts, steps lost", f"{summary.restarts}, {summary.steps_lost:,}"))
    if end is not None and end.export is not None:
        rows.append(("export", str(facts.folder / "exports" / end.export)))
    return rows


def _device_hours(facts: RunFacts) -> float:
    past, progress = facts.summary.progress.past_device_seconds, facts.summary.progress
    devices = progress.num_devices or facts.recipe.devices.num_ranks
    return past.total_at(facts.account.charged_s, num_devices=devices) / 3600


def _result(facts: RunFacts) -> Table:
    return Table("The run in figures", ["figure", "value"], result_rows(facts))


def account_parts(account: TimeAccount) -> list[tuple[str, float, str]]:
    """Each part of the account: name, seconds, what it is."""
    return [
        ("training", account.training_s, ""),
        ("start", account.start_s, "launch, choosing, building, first validation and save, of all attempts"),
        ("compiling", account.compile_s, ""),
        ("validation", account.validation_s, ""),
        ("saves", account.save_s, "that checkpoints stopped training"),
        ("replayed", account.replayed_s, "training that was lost and done again"),
        ("end", account.end_s, "last checkpoint and export"),
        ("paused hot", account.paused_hot_s, "not charged"),
        ("paused cold", account.paused_cold_s, "not charged"),
        ("down", account.down_s, "not charged: after a death of the ranks, until the next start"),
    ]


def _time(account: TimeAccount) -> Iterable[Block]:
    parts = [part for part in account_parts(account) if part[1] >= 0.05]
    wall_s = max(account.wall_s, 1e-9)
    if not parts:
        return
    yield Paragraph(
        f"{format_duration(account.wall_s)} from the first attempt to the newest record, of which "
        f"{format_duration(account.charged_s)} were charged. Time in the queue before the first attempt is not in it."
    )
    yield Bar("Shares of the time", [(name, seconds / wall_s, format_duration(seconds)) for name, seconds, _ in parts])
    yield Table(
        "Every second, booked once",
        ["part", "time", "share", "what"],
        [(name, _seconds(seconds), format_share(seconds / wall_s), note) for name, seconds, note in parts],
        frozenset({1, 2}),
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 100 else format_duration(seconds)


def _curves(facts: RunFacts) -> Iterable[Block]:
    raw = facts.curves.read(
        columns=["loss", "validation", "lr", "sequences_per_s", "grad_norm", "data_wait"],
        axis="progress",
        points=_POINTS,
    )
    smoothed = facts.curves.read_smoothed(columns=["loss"], axis="progress", points=_POINTS, half_life=_HALF_LIFE)
    marks = _marks(facts)
    losses = [
        Series("training, smoothed", smoothed["loss"]),
        Series("validation", raw["validation"], has_dots=len(raw["validation"]) <= 100),
        Series("training", raw["loss"], is_faint=True),
    ]
    yield Chart("Loss", "share of the budget", "nats", [each for each in losses if each.points], marks, is_x_share=True)
    others = [
        ("Sequences per second", "sequences_per_s", "sequences/s", False),
        ("Learning rate", "lr", "rate", False),
        ("Gradient norm", "grad_norm", "norm", False),
        ("Waiting for data", "data_wait", "share of the time", True),
    ]
    for title, column, label, is_share in others:
        if raw[column]:
            yield Chart(
                title,
                "share of the budget",
                label,
                [Series(title.lower(), raw[column])],
                marks,
                is_x_share=True,
                is_y_share=is_share,
            )


def _marks(facts: RunFacts) -> list[Mark]:
    granted = facts.summary.progress.budget_plan(facts.recipe.granted).granted
    total_s = granted.total_s
    if total_s is None:
        return []
    marked = [event for event in facts.events if isinstance(event.record, _MARKED)]
    return [Mark(min(1.0, event.charged_s / total_s), event_text(event.record)) for event in marked[-_MAX_MARKS:]]


def _glue(facts: RunFacts) -> Iterable[Block]:
    summaries = summarize_scores(facts.scores)
    if not summaries:
        return
    yield Table(
        "Median over seeds of the best setting, on the development set that also chose it, in percent",
        ["export and task", "metric", "median", "lowest to highest", "seeds", "setting", "trials"],
        [_score_row(each) for each in summaries],
        frozenset({2, 4, 6}),
    )
    titles = ["model", *GLUE_COLUMNS, "mean", "split", "hardware", "source"]
    rows = [
        [
            row.model,
            *(f"{row.scores[task]:.1f}" if task in row.scores else "–" for task in GLUE_COLUMNS),
            f"{row.mean:.1f} ({row.mean_of})",
            row.split,
            row.hardware or "–",
            row.source,
        ]
        for row in read_published()
    ]
    yield Table("Published scores; dev and test are not comparable", titles, rows, frozenset(range(1, 10)))


def _score_row(each: TaskSummary) -> list[str]:
    name = f"{each.source} {each.task}" + (f" from {each.via}" if each.via else "")
    setting = f"{each.setting.lr:g}, {each.setting.batch_size} rows, {format_count(each.setting.epochs, 'epoch')}"
    low, high = (f"{100 * score:.1f}" for score in (each.scores[0], each.scores[-1]))
    median = f"{100 * statistics.median(each.scores):.1f}"
    return [name, each.metric, median, f"{low} to {high}", str(len(each.scores)), setting, str(each.num_trials)]


def _events(facts: RunFacts) -> Iterable[Block]:
    if facts.num_events > len(facts.events):
        yield Paragraph(f"The newest {MAX_EVENTS} of {facts.num_events:,} events.")
    if facts.is_sampled:
        yield Paragraph("Where the daemon has stored no curves, they are of some of the step records, evenly spread.")
    if facts.num_damaged_lines:
        yield Paragraph(f"{format_count(facts.num_damaged_lines, 'damaged line')} of the journal were left out.")
    if facts.events:
        rows = [
            (format_duration(event.charged_s), event.record.kind, event_text(event.record)) for event in facts.events
        ]
        yield Table("At charged time", ["charged", "kind", "what happened"], rows)


def _choices(starts: tuple[StartRecord, ...]) -> Iterable[Block]:
    if not starts:
        return
    choices = execution_choices(starts[-1])
    yield Table(
        "Of the newest attempt",
        ["choice", "value", "why"],
        [(choice.name, choice.value, choice.reason or "–") for choice in choices],
    )


def _recipe(facts: RunFacts, *, baseline: Recipe, baseline_name: str) -> Iterable[Block]:
    differences = find_differences(facts.recipe, baseline)
    if differences:
        rows = [(each.key, each.value, each.other) for each in differences]
        yield Table(f"What differs from {baseline_name}", ["key", facts.name, baseline_name], rows)
    else:
        yield Paragraph(f"It is the recipe {baseline_name}.")
    yield Code("The whole recipe, with every default", format_recipe(facts.recipe).rstrip())


def _data(facts: RunFacts) -> Iterable[Block]:
    mixture = facts.mixture
    if mixture is None:
        what = "the data set is" if len(facts.recipe.data.weights) == 1 else "one of the data sets is"
        yield Paragraph(f"{facts.recipe.data.shards_text}: {what} not there any more.")
        return
    for member in mixture.members:
        share = (
            "" if len(mixture.members) == 1 else f" {member.root.name}: {mixture.share(member):.1%} of the sequences"
        )
        yield from _data_set(member.manifest, folder=str(member.root), title=f"The data set{share}")


def _data_set(manifest: Manifest, *, folder: str, title: str) -> Iterable[Block]:
    rows = [("folder", folder), ("fingerprint", manifest.fingerprint)]
    rows.append(("vocabulary", f"{manifest.vocab_size:,} entries, fingerprint {manifest.tokenizer.fingerprint}"))
    for name, counts in manifest.splits.items():
        text = f"{format_count(counts.documents, 'document')}, {counts.sentences:,} sentences, {counts.tokens:,} tokens"
        rows.append((name, text))
    filters = manifest.filters
    rows.append(
        ("duplicates", {"none": "kept", "exact": "exact ones left out", "near": "near ones left out"}[filters.dedup])
    )
    yield Table(title, ["what", "value"], rows)
    sources = [
        (
            f"{source.kind}:{source.path}",
            f"{source.files:,}",
            format_bytes(source.bytes),
            f"{source.read:,}",
            f"{source.kept.documents:,}",
            f"{source.kept.tokens:,}",
        )
        for source in manifest.sources
    ]
    yield Table(
        "Its sources", ["source", "files", "size", "documents read", "kept", "tokens"], sources, frozenset(range(1, 6))
    )


def _provenance(facts: RunFacts) -> Iterable[Block]:
    if facts.provenance:
        yield Table("Written at the first start", ["what", "value"], list(facts.provenance.items()))


def _commands(facts: RunFacts) -> Iterable[Block]:
    exports = [event.record for event in facts.events if isinstance(event.record, ExportRecord)]
    end = next((event.record for event in facts.events if isinstance(event.record, EndRecord)), None)
    lines = [f"bertd submit {facts.folder / 'recipe.toml'}   # the same recipe on this machine"]
    if exports or end:
        lines.append(f"bertd finetune {facts.name} --tasks all --data GLUE_FOLDER")
    lines.append(f"bertd report {facts.name}")
    yield Code("Commands", "\n".join(lines))

"""`bertd finetune`: queue a finetuning, or a grid of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bertd.cli.finetune_options import (
    BatchSizeOption,
    DataOption,
    DevOption,
    DevShareOption,
    DryRunOption,
    EpochsOption,
    HalvingOption,
    KeepOption,
    LabelOption,
    LrOption,
    MetricOption,
    NowOption,
    PresetOption,
    RunArgument,
    SeedOption,
    SeedsOption,
    TaskOption,
    TasksOption,
    TextOption,
    ViaOption,
    WarmupOption,
    WeightDecayOption,
    YesOption,
)
from bertd.cli.options import (
    AfterAnyOption,
    AfterOption,
    BeginOption,
    GroupOption,
    JsonOption,
    OnlyOption,
    PriorityOption,
    SocketOption,
    connect,
    print_json,
    print_next_commands,
    split_jobs,
    status_line,
)
from bertd.program import print_note

if TYPE_CHECKING:
    from bertd.api.models import SubmitFinetune
    from bertd.records import FinetuneSpec, TaskDescription

_DATA_PROGRAM = "bertd.glue.describe_data"


def finetune(
    context: typer.Context,
    run: RunArgument,
    data: DataOption,
    task: TaskOption = None,
    tasks: TasksOption = None,
    preset: PresetOption = "quick",
    seeds: SeedsOption = None,
    via: ViaOption = None,
    halving: HalvingOption = False,
    text: TextOption = None,
    label: LabelOption = None,
    dev: DevOption = None,
    dev_share: DevShareOption = None,
    metric: MetricOption = None,
    keep: KeepOption = "nothing",
    seed: SeedOption = 42,
    lr: LrOption = 5e-5,
    batch_size: BatchSizeOption = 32,
    epochs: EpochsOption = 3,
    weight_decay: WeightDecayOption = 0.1,
    warmup: WarmupOption = 0.06,
    priority: PriorityOption = 0,
    after: AfterOption = None,
    after_any: AfterAnyOption = None,
    begin: BeginOption = None,
    only: OnlyOption = None,
    group: GroupOption = None,
    now: NowOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Queue a finetuning of a run's export or of a stock encoder; its score appears in `bertd scores`."""
    from bertd.api.models import SubmitFinetune
    from bertd.cli.commands.submitting.finetune_grid import (
        asks_for_own_grid,
        make_grid,
        make_own_grid,
        require_options_of_one_kind,
        submit_grid,
    )
    from bertd.cli.commands.submitting.finetune_now import confirm_lend
    from bertd.cli.own_task_options import make_own_task, name_own_task
    from bertd.records import FinetuneSpec, Keep, MetricName, PauseKind

    is_own_grid = tasks is None and asks_for_own_grid(context, data)
    require_options_of_one_kind(context, is_grid=tasks is not None or is_own_grid, is_own=is_own_grid)
    export = _resolve_export(run)
    if tasks is not None:
        grid = make_grid(
            export,
            tasks=tasks,
            preset=preset,
            num_seeds=seeds,
            via=via,
            keep=keep,
            is_halving=halving,
            data=data,
            priority=priority,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            group=group,
        )
        grid = grid.model_copy(update={"now": now and PauseKind(now)})
        submit_grid(grid, dry_run=dry_run, is_sure=yes, socket=socket, json=json)
        return
    own = make_own_task(
        data, task=task, text=text, label=label, dev=dev, dev_share=dev_share, metric=metric and MetricName(metric)
    )
    name = task or name_own_task(data)
    if own is not None and is_own_grid:
        description = _read_description(
            FinetuneSpec(task=name, data_dir="", own=own, source=export, source_name=export)
        )
        grid = make_own_grid(
            export,
            own,
            task=name,
            num_train=description.num_train,
            preset=preset,
            num_seeds=seeds,
            keep=keep,
            is_halving=halving,
            priority=priority,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            group=group,
        )
        if dry_run and not json:
            print(_description_text(description))
        grid = grid.model_copy(update={"now": now and PauseKind(now)})
        submit_grid(grid, dry_run=dry_run, is_sure=yes, socket=socket, json=json)
        return
    request = SubmitFinetune(
        run=export,
        task=name,
        data_dir=str((data if own is None else data.parent).absolute()),
        own=own,
        keep=Keep(keep),
        seed=seed,
        lr=lr,
        batch_size=batch_size,
        epochs=epochs,
        weight_decay=weight_decay,
        warmup=warmup,
        priority=priority,
        after=split_jobs(after),
        after_any=split_jobs(after_any),
        begin=begin,
        only=only,
        group=group,
        now=now and PauseKind(now),
    )
    if dry_run and now is None:
        _describe_data(request, json=json)
        return
    client = connect(socket)
    if now is not None and not confirm_lend(client, request, is_sure=yes, dry_run=dry_run, json=json):
        return
    job = client.submit(request)
    if json:
        print_json(job)
        return
    print(status_line(job))
    print_next_commands(job.id, extra_hints=[("bertd scores", "its score, when it is over")])


def _describe_data(request: SubmitFinetune, *, json: bool) -> None:
    """Print what the data has, after the reading that the job would begin with.

    Raises:
        Exit: it cannot be read, for the reason that is printed.
    """
    from bertd.records import FinetuneSpec

    description = _read_description(
        FinetuneSpec(
            task=request.task, data_dir=request.data_dir, own=request.own, source=request.run, source_name=request.run
        )
    )
    if json:
        print_json(description)
        return
    print(f"{_description_text(description)}\nnothing was queued; submit it without --dry-run")


def _read_description(spec: FinetuneSpec) -> TaskDescription:
    """What the data has, after the warnings of it are printed.

    Raises:
        Exit: it cannot be read, for the reason that is printed.
    """
    from bertd.cli.commands.programs import answer_of_module
    from bertd.records import TaskDescription

    description = TaskDescription.model_validate_json(answer_of_module(_DATA_PROGRAM, spec.model_dump_json()))
    for warning in description.warnings:
        print_note(warning)
    return description


def _description_text(description: TaskDescription) -> str:
    return (
        f"{description.task}: {description.kind}, {description.num_train:,} training and {description.num_dev:,} "
        f"development examples\n"
        f"development set: {description.dev}\n"
        f"score: {description.metric}, {description.baseline:.3f} by the best constant guess; "
        f"the best epoch is chosen by {description.chosen_by}"
    )


def _resolve_export(run: str) -> str:
    """The export to finetune: the absolute path of a folder with a model, otherwise a run as the daemon knows it."""
    folder = Path(run)
    if "/" not in run and (folder / "config.json").is_file():
        print_note(f"{run} is the folder here; for a run of this name give its number")
    elif not ("/" in run and folder.is_dir()):
        return run
    return str(folder.absolute())

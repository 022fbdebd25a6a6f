"""`bertd submit`: queue a pretraining, or a program of a person's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.commands.submitting.clone import LikeOption, clone_job, require_options_of_a_clone, was_given
from bertd.cli.commands.submitting.submit_command import (
    CommandOption,
    CpusOption,
    DevicesOption,
    EnvOption,
    MemoryOption,
    RetriesOption,
    RunOption,
    TimeLimitOption,
    make_command,
    require_options_of_one_kind,
    submit_command,
)
from bertd.cli.completion import complete_recipe, complete_set
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

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import RunView
    from bertd.run.recipe.schema import Recipe


def submit(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE",
            help="A TOML file, or the name of a recipe of bertd. With --command: -- and the program.",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Override one value; may be repeated.",
            show_default=False,
            autocompletion=complete_set,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="AMOUNT", help="The budget: 90min, 24h, 5000steps, ...", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run, or of the command.", show_default=False)
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Queue it, but do not start before `bertd release`.")] = False,
    priority: PriorityOption = 0,
    after: AfterOption = None,
    after_any: AfterAnyOption = None,
    begin: BeginOption = None,
    only: OnlyOption = None,
    group: GroupOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Queue nothing; say what it would be: size, steps, disk.")
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="hosts:A,B",
            help="Train on these machines, too, as ssh knows them; each needs bertd and the data set.",
            show_default=False,
        ),
    ] = None,
    like: LikeOption = None,
    command: CommandOption = False,
    devices: DevicesOption = 0,
    cpus: CpusOption = 1,
    memory: MemoryOption = None,
    env: EnvOption = None,
    run: RunOption = None,
    time_limit: TimeLimitOption = None,
    retries: RetriesOption = 0,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Queue a pretraining, or with --command any program. A recipe is checked first, so a mistake costs nothing."""
    if like is not None:
        from bertd.api.models import CloneRequest

        require_options_of_a_clone(context)
        request = CloneRequest(
            settings=set_ or [],
            priority=priority if was_given(context, "priority") else None,
            group=group,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            hold=hold,
        )
        clone_job(like, request, socket=socket, json=json)
        return
    require_options_of_one_kind(context, is_command=command)
    if command:
        order = make_command(
            words or [],
            name=name,
            devices=devices,
            cpus=cpus,
            memory=memory,
            env=env or [],
            run=run,
            time_limit=time_limit,
            retries=retries,
            priority=priority,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            group=group,
            hold=hold,
        )
        submit_command(order, socket=socket, json=json)
        return
    recipe = _require_one_recipe(words or [])
    from bertd.api.models import SubmitPretrain
    from bertd.cli.commands.submitting.resolve_recipe import check_start_from, resolve_recipe

    resolved = resolve_recipe(
        recipe,
        settings=[*(set_ or []), *_settings_of_hosts(on)],
        budget=budget,
        name=name,
        is_awaiting=bool(after or after_any),
    )
    check_start_from(resolved.recipe)
    if dry_run:
        from bertd.run.plan.run_estimate import estimate_run, estimate_text

        estimate = estimate_run(resolved.recipe, known_runs=_read_known_runs(connect(socket)))
        if json:
            print_json(estimate)
        else:
            print(estimate_text(estimate))
        return
    client = connect(socket)
    job = client.submit(
        SubmitPretrain(
            recipe_toml=resolved.text,
            recipe_name=resolved.name,
            overrides=resolved.overrides,
            priority=priority,
            after=split_jobs(after),
            after_any=split_jobs(after_any),
            begin=begin,
            only=only,
            group=group,
            hold=hold,
        )
    )
    if json:
        print_json(job)
        return
    print(status_line(job))
    for line in _plan_lines(resolved.recipe, client=client):
        print(f"  {line}")
    print_next_commands(job.id, extra_hints=[(f"bertd release {job.id}", "let it start")] if hold else [])


def _plan_lines(recipe: Recipe, *, client: Client) -> list[str]:
    """What the budget buys, as far as it is known; nothing of a data set that is still to be prepared."""
    from bertd.errors import BertdError
    from bertd.run.plan.run_estimate import estimate_run, main_lines

    try:
        return main_lines(estimate_run(recipe, known_runs=_read_known_runs(client)))
    except BertdError:
        # It is queued, whatever cannot be said of it.
        return []


def _read_known_runs(client: Client) -> list[RunView]:
    """The runs of the daemon; none if no daemon answers, since nothing is queued."""
    from bertd.errors import DaemonUnreachableError

    try:
        return client.runs()
    except DaemonUnreachableError:
        return []


def _settings_of_hosts(text: str | None) -> list[str]:
    """The overrides of --on.

    Raises:
        BadParameter: it names no hosts.
    """
    import json

    if text is None:
        return []
    kind, _, names = text.partition(":")
    hosts = [name.strip() for name in names.split(",") if name.strip()]
    if kind != "hosts" or not hosts:
        raise typer.BadParameter(f"{text!r}: give hosts:A,B, the further machines as ssh knows them", param_hint="--on")
    return [f"devices.hosts={json.dumps(hosts)}", f"devices.nodes={len(hosts) + 1}"]


def _require_one_recipe(words: list[str]) -> str:
    """The recipe that is named.

    Raises:
        BadParameter: none is, or more than one.
    """
    if len(words) == 1:
        return words[0]
    if not words:
        raise typer.BadParameter("give a recipe, such as `bertd submit demo`", param_hint="RECIPE")
    raise typer.BadParameter(f"give one recipe, not {' '.join(words)}; a program needs --command", param_hint="RECIPE")

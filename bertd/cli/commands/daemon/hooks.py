"""`bertd hooks`: what the daemon calls when something happens, and a test of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bertd.cli.options import JsonOption, SocketOption, connect, print_json

if TYPE_CHECKING:
    from bertd.api.client import Client
    from bertd.api.models import HookOutcomeView

hooks_app = typer.Typer(
    help="List what the daemon calls when something happens, and what became of the newest event of each; test it.",
    invoke_without_command=True,
)

_POLL_INTERVAL_S = 0.2
_MARGIN_S = 5.0
"""How much longer than a hook's own time limit a test is waited for: others may wait before it."""


@hooks_app.callback()
def hooks(context: typer.Context, socket: SocketOption = None, json: JsonOption = False) -> None:
    """List the programs and webhooks that the daemon calls, and what became of the newest event of each."""
    if context.invoked_subcommand is not None:
        return
    answer = connect(socket).hooks()
    if json:
        print_json([*answer])
        return
    from bertd.cli.output.hook_table import hook_table
    from bertd.cli.output.tables import detect_output_style

    print(hook_table(answer, style=detect_output_style()))


@hooks_app.command("test")
def test(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of one hook; by default all.", show_default=False)
    ] = None,
    socket: SocketOption = None,
    json: JsonOption = False,
) -> None:
    """Send a test event to a hook, or to all, and say what became of it; it is attempted once.

    Raises:
        DeliveryError: it did not reach one of them.
    """
    from bertd.cli.output.hook_table import outcome_line
    from bertd.errors import DeliveryError

    client = connect(socket)
    names = [hook.name for hook in client.hooks()] if name is None else [name]
    outcomes = _test_each(client, names)
    if json:
        print_json([outcome for outcome in outcomes.values() if outcome is not None])
    for hook, outcome in outcomes.items():
        if not json:
            print(outcome_line(hook, outcome))
    if not names:
        print("no hooks are configured; docs/hooks.md says how")
    failed = [hook for hook, outcome in outcomes.items() if outcome is None or not outcome.is_delivered]
    if failed:
        raise DeliveryError(f"{', '.join(failed)}: the test event was not delivered")


def _test_each(client: Client, names: Sequence[str]) -> dict[str, HookOutcomeView | None]:
    """By hook: what became of its test; None if that was not known in time."""
    tests = {name: client.test_hook(name) for name in names}
    deadline = time.monotonic() + max((test.timeout_s for test in tests.values()), default=0.0) + _MARGIN_S
    outcomes: dict[str, HookOutcomeView | None] = dict.fromkeys(names)
    while any(outcome is None for outcome in outcomes.values()) and time.monotonic() < deadline:
        for hook in client.hooks():
            newest = hook.newest_test
            if hook.name in tests and newest is not None and newest.event_id >= tests[hook.name].event_id:
                outcomes[hook.name] = newest
        if None in outcomes.values():
            time.sleep(_POLL_INTERVAL_S)
    return outcomes

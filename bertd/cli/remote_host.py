"""`bertd --host user@box VERB ...`: the subcommand here, the daemon there, over the system's ssh.

Only subcommands whose every word is the daemon's concern. The others read or write files of the machine on which they
are called, so on this one they would mean other files, or act on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from bertd.errors import BertdError, ClientError

OPTION = "--host"
_LOOKING = {"status", "jobs", "devices", "show", "logs", "scores", "wait", "recipe", "audit", "hooks", "sweeps"}
_ACTING_ON_JOBS = {"pause", "resume", "checkpoint", "stop", "hold", "release", "priority", "move", "change", "budget"}
VERBS = _LOOKING | _ACTING_ON_JOBS | {"gc", "drain", "undrain", "shutdown"}


def run_remote(arguments: Sequence[str], *, run: Callable[[Sequence[str]], int | None]) -> int | None:
    """Run the rest of the command line with the daemon of the machine that it names.

    Raises:
        HostUsageError: no host, or a subcommand that cannot act there.
        BertdError: ssh failed; or the subcommand's own error, with the machine's name.
    """
    from bertd.api.ssh_forward import SshForward, parse_host

    word, equals, value = arguments[0].partition("=")
    text, rest = (value, arguments[1:]) if equals else ("".join(arguments[1:2]), arguments[2:])
    try:
        host = parse_host(text)
    except ValueError as error:
        raise HostUsageError(f"{word}: {error}") from error
    _check_verb(rest, host.destination)
    with SshForward(host) as forward:
        forward.open()
        os.environ["BERTD_SOCKET"] = str(forward.socket)
        try:
            return run(rest)
        except BertdError as error:
            raise type(error)(forward.describe(str(error))) from error


class HostUsageError(ClientError):
    """The command line is wrong."""

    exit_code = 2


def _check_verb(rest: Sequence[str], destination: str) -> None:
    verb = rest[0] if rest else ""
    if verb not in VERBS:
        raise HostUsageError(
            f"{OPTION}: {verb or 'no subcommand'}: give one of {', '.join(sorted(VERBS))}; the others read files of "
            f"the machine that they are called on: `ssh {destination} bertd {verb or '...'}`"
        )
    if any(word == "--socket" or word.startswith("--socket=") for word in rest):
        raise HostUsageError(f"--socket: with {OPTION} give the socket as {OPTION} {destination}:/PATH")

"""The files and commands that make bertd a systemd service, for all users of the machine or for one.

A plan is made first and shown or carried out after, so that `--dry-run` prints what an installation does. Installing
twice is the same as once. A file that is there and was not written by this command is never overwritten: what an
administrator changes belongs in a drop-in (`systemctl edit bertd`), which stays.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bertd
from bertd.errors import DaemonError, OutputExistsError, StorageError
from bertd.run.atomic_files import atomic_write

_MARK = "# Written by `bertd service install`, removed by `bertd service uninstall`. Change it with `systemctl edit`."
_LINGER_MARK = "# It enabled lingering, and uninstall disables it."
_HIDDEN_FOLDERS = ("/home", "/root", "/run/user")
"""Of ProtectHome=, which the system unit has. Source: systemd.exec(5)."""

Run = Callable[[Sequence[str]], None]
"""Runs a command and raises DaemonError if it fails."""


@dataclass(frozen=True)
class Place:
    """Where bertd is installed, and for whom it becomes a service."""

    program: Path
    """`bertd` itself, an absolute path."""
    interpreter_prefix: Path
    """Of the Python below it, which may be elsewhere."""
    user: str | None
    """Whose service it is; None for all users of the machine."""
    units: Path
    """Folder of the unit files that ship with bertd."""
    home: Path
    """Of the user."""
    root: Path = Path("/")
    """What stands for / in a test."""


@dataclass(frozen=True)
class Plan:
    """What is done, in this order: commands before, files, commands after."""

    commands_before: tuple[tuple[str, ...], ...]
    files: dict[Path, str | None]
    """Texts by path; None for a file that is removed."""
    commands_after: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """The plan as text, a line for each step."""
        return [
            *map(shlex.join, self.commands_before),
            *(f"{'remove' if text is None else 'write'} {path}" for path, text in self.files.items()),
            *map(shlex.join, self.commands_after),
        ]


def shipped_units() -> Path:
    """Folder of the unit files: in the wheel, or in a source checkout."""
    package = Path(bertd.__file__).parent
    return next(folder for folder in (package / "systemd", package.parent / "systemd") if folder.is_dir())


def plan_installation(place: Place, *, lingers: bool) -> Plan:
    """What an installation does.

    Args:
        lingers: whether the user's services outlive the last logout already.

    Raises:
        DaemonError: the system's service could not see the program.
        OutputExistsError: a file is there that this command did not write.
    """
    marks: tuple[str, ...] = (_MARK,)
    if place.user is None:
        _require_visible(place)
        texts = {path: (place.units / name).read_text() for path, name in _system_files(place).items()}
        after: tuple[tuple[str, ...], ...] = (
            ("systemd-sysusers", "bertd.conf"),
            ("systemd-tmpfiles", "--create", "bertd.conf"),
            ("systemctl", "daemon-reload"),
            ("systemctl", "enable", "--now", "bertd.socket", "bertd.service"),
        )
    else:
        unit = _user_unit(place)
        texts = {unit: (place.units / "user" / "bertd.service").read_text()}
        # Also the second time, when it lingers because of the first.
        if not lingers or _enabled_lingering(unit):
            marks += (_LINGER_MARK,)
        after = (
            *([("loginctl", "enable-linger", place.user)] if not lingers else []),
            ("systemctl", "--user", "daemon-reload"),
            ("systemctl", "--user", "enable", "--now", "bertd.service"),
        )
    files: dict[Path, str | None] = {}
    for path, text in texts.items():
        _require_own(path)
        files[path] = "\n".join([*marks, _with_program(text, place.program)])
    return Plan(commands_before=(), files=files, commands_after=after)


def plan_removal(place: Place) -> Plan:
    """What takes the service away; state folder, configuration and drop-ins stay.

    Raises:
        DaemonError: there is no service that this command wrote.
        OutputExistsError: a file was written by something else.
    """
    paths = list(_system_files(place)) if place.user is None else [_user_unit(place)]
    there = [path for path in paths if path.exists()]
    if not there:
        raise DaemonError(f"{paths[0]}: there is no service to remove; `bertd service install` makes one")
    for path in there:
        _require_own(path)
    scope = [] if place.user is None else ["--user"]
    names = [path.name for path in paths if path.suffix != ".conf"]
    after: list[tuple[str, ...]] = [("systemctl", *scope, "daemon-reload")]
    if place.user is not None and _enabled_lingering(_user_unit(place)):
        after.append(("loginctl", "disable-linger", place.user))
    return Plan(
        commands_before=(("systemctl", *scope, "disable", "--now", *names),),
        files=dict.fromkeys(there),
        commands_after=tuple(after),
    )


def carry_out(plan: Plan, *, run: Run) -> None:
    """Do what the plan says.

    Raises:
        DaemonError: a command failed; what was done before it stays, and the same call can be repeated.
        StorageError: a file cannot be written or removed.
    """
    for command in plan.commands_before:
        run(command)
    for path, text in plan.files.items():
        try:
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(path, text, mode=0o644)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}; for all users of the machine, run it as root") from error
    for command in plan.commands_after:
        run(command)


def _system_files(place: Place) -> dict[Path, str]:
    """Where each of the shipped files goes."""
    etc = place.root / "etc"
    return {
        etc / "systemd/system/bertd.service": "bertd.service",
        etc / "systemd/system/bertd.socket": "bertd.socket",
        etc / "sysusers.d/bertd.conf": "sysusers.conf",
        etc / "tmpfiles.d/bertd.conf": "tmpfiles.conf",
    }


def _user_unit(place: Place) -> Path:
    return place.home / ".config/systemd/user/bertd.service"


def _with_program(text: str, program: Path) -> str:
    """The unit without its comment on installing by hand, and with the program of this place."""
    body = re.sub(r"\A(#.*\n)+\n?", "", text)
    quoted = str(program).replace("%", "%%")
    if re.search(r"\s", quoted):
        quoted = f'"{quoted}"'
    return re.sub(r"^ExecStart=\S+", lambda _: f"ExecStart={quoted}", body, flags=re.MULTILINE)


def _require_visible(place: Place) -> None:
    # Links lead to where the service looks, and of a checkout that is installed in place the package is elsewhere.
    for path in (place.program, place.program.parent.resolve(), place.interpreter_prefix, place.units.resolve()):
        if any(path.is_relative_to(folder) for folder in _HIDDEN_FOLDERS):
            raise DaemonError(
                f"{path}: the system's service sees nothing below {', '.join(_HIDDEN_FOLDERS)}; install bertd "
                "elsewhere (python3 -m venv /opt/bertd && /opt/bertd/bin/pip install bertd), or use --user"
            )


def _require_own(path: Path) -> None:
    """Refuse to touch what this command did not write.

    Raises:
        OutputExistsError: something else wrote the file.
        StorageError: it cannot be read.
    """
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    if not text.startswith(_MARK):
        raise OutputExistsError(f"{path}: was not written by `bertd service install`; move it away first")


def _enabled_lingering(unit: Path) -> bool:
    try:
        return _LINGER_MARK in unit.read_text(errors="replace")
    except OSError:
        return False

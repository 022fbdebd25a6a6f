"""`bertd service`: make bertd a systemd service, and undo it."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bertd.service_unit.installation import Place, Plan

service_app = typer.Typer(help="Make bertd a systemd service, and undo it.", no_args_is_help=True)

UserOption = Annotated[
    bool, typer.Option("--user", help="A service of your own, without root; by default one for the whole machine.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


@service_app.command("install")
def install(user: UserOption = False, dry_run: DryRunOption = False) -> None:
    """Write the units for the place that bertd is in, and start the service now and at each boot.

    What you change belongs in drop-ins (`systemctl edit bertd`) and in bertd.toml; both outlive an uninstall.
    """
    from bertd.service_unit.installation import plan_installation

    place = _place(for_user=user)
    linger_file = Path("/var/lib/systemd/linger") / (place.user or "root")
    _carry_out(plan_installation(place, lingers=linger_file.exists()), dry_run=dry_run)


@service_app.command("uninstall")
def uninstall(user: UserOption = False, dry_run: DryRunOption = False) -> None:
    """Stop the service and remove the units; runs, queue and configuration stay."""
    from bertd.service_unit.installation import plan_removal

    _carry_out(plan_removal(_place(for_user=user)), dry_run=dry_run)


def _place(*, for_user: bool) -> Place:
    from bertd.service_unit.installation import Place, shipped_units

    return Place(
        # Not resolved: the link in an environment's bin selects the environment.
        program=Path(sys.executable).absolute().with_name("bertd"),
        interpreter_prefix=Path(sys.base_prefix).resolve(),
        user=getpass.getuser() if for_user else None,
        units=shipped_units(),
        home=Path.home(),
    )


def _carry_out(plan: Plan, *, dry_run: bool) -> None:
    from bertd.errors import DaemonError
    from bertd.service_unit.installation import carry_out

    if dry_run:
        print("\n".join(plan.lines()))
        return
    if shutil.which("systemctl") is None:
        raise DaemonError("systemctl: not found, so there is no systemd here; start the daemon with `bertd start`")

    def run(command: Sequence[str]) -> None:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            said = done.stdout.strip().splitlines()
            raise DaemonError(f"{' '.join(command)}: ended with {done.returncode}: {said[-1] if said else 'no word'}")

    carry_out(plan, run=run)
    print("\n".join(plan.lines()))

"""bertd.service_unit: what an installation writes and runs, that it is safe to repeat, and that removal undoes it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bertd.errors import DaemonError, OutputExistsError
from bertd.service_unit import installation
from bertd.service_unit.installation import Place, carry_out, plan_installation, plan_removal, shipped_units
from tests.daemon.process.test_units import analyze, needs_systemd

PROGRAM = Path("/opt/my bertd/bin/bertd")


@pytest.fixture
def machine(tmp_path: Path) -> Place:
    return Place(
        program=PROGRAM,
        interpreter_prefix=Path("/usr"),
        user=None,
        # Not in place: the checkout may be below /home.
        units=shutil.copytree(shipped_units(), tmp_path / "units"),
        home=tmp_path / "home",
        root=tmp_path / "root",
    )


@pytest.fixture
def own(machine: Place) -> Place:
    return replace(machine, user="ada")


def install(place: Place, *, lingers: bool = True) -> list[str]:
    """The commands that an installation runs."""
    ran: list[str] = []
    carry_out(plan_installation(place, lingers=lingers), run=lambda command: ran.append(" ".join(command)))
    return ran


def remove(place: Place) -> list[str]:
    ran: list[str] = []
    carry_out(plan_removal(place), run=lambda command: ran.append(" ".join(command)))
    return ran


def written(place: Place) -> dict[str, str]:
    """Texts of the files that are there, by name."""
    return {
        str(path.relative_to(top)): path.read_text()
        for top in (place.root, place.home)
        for path in top.rglob("*")
        if path.is_file()
    }


def test_the_machines_service_is_written_for_this_place_and_started(machine: Place) -> None:
    ran = install(machine)
    files = written(machine)
    assert sorted(files) == [
        "etc/systemd/system/bertd.service",
        "etc/systemd/system/bertd.socket",
        "etc/sysusers.d/bertd.conf",
        "etc/tmpfiles.d/bertd.conf",
    ]
    assert f'\nExecStart="{PROGRAM}" start\n' in files["etc/systemd/system/bertd.service"]
    assert "u bertd -" in files["etc/sysusers.d/bertd.conf"]
    assert ran == [
        "systemd-sysusers bertd.conf",
        "systemd-tmpfiles --create bertd.conf",
        "systemctl daemon-reload",
        "systemctl enable --now bertd.socket bertd.service",
    ]


def test_installing_again_changes_nothing_and_follows_a_program_that_moved(machine: Place) -> None:
    install(machine)
    before = written(machine)
    install(machine)
    assert written(machine) == before
    install(replace(machine, program=Path("/srv/bertd/bin/bertd")))
    assert "ExecStart=/srv/bertd/bin/bertd start" in written(machine)["etc/systemd/system/bertd.service"]


def test_removal_stops_the_service_and_takes_its_files_away(machine: Place) -> None:
    install(machine)
    dropped_in = machine.root / "etc/systemd/system/bertd.service.d/override.conf"
    dropped_in.parent.mkdir()
    dropped_in.write_text("[Service]\nNice=5\n")
    assert remove(machine) == ["systemctl disable --now bertd.service bertd.socket", "systemctl daemon-reload"]
    assert [*written(machine)] == ["etc/systemd/system/bertd.service.d/override.conf"]
    with pytest.raises(DaemonError, match="there is no service to remove"):
        remove(machine)


def test_lingering_is_enabled_where_needed_and_disabled_only_then(own: Place) -> None:
    reload, enable = "systemctl --user daemon-reload", "systemctl --user enable --now bertd.service"
    stop = "systemctl --user disable --now bertd.service"
    assert install(own, lingers=False) == ["loginctl enable-linger ada", reload, enable]
    # The second time it lingers, and only because of the first.
    assert install(own, lingers=True) == [reload, enable]
    assert remove(own) == [stop, reload, "loginctl disable-linger ada"]
    assert install(own, lingers=True) == [reload, enable]
    assert remove(own) == [stop, reload]
    assert written(own) == {}


@pytest.mark.parametrize("user", [None, "ada"])
def test_a_unit_that_something_else_wrote_is_kept(user: str | None, machine: Place) -> None:
    place = replace(machine, user=user)
    install(place)
    [unit] = [*machine.root.rglob("bertd.service"), *machine.home.rglob("bertd.service")]
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    for act in (install, remove):
        with pytest.raises(OutputExistsError, match=f"{unit}: was not written by `bertd service install`"):
            act(place)
    assert "/bin/true" in unit.read_text()


@pytest.mark.parametrize(
    "hidden",
    [
        {"program": Path("/home/ada/venv/bin/bertd")},
        {"interpreter_prefix": Path("/root/.local/share/uv/python")},
    ],
)
def test_the_machines_service_is_refused_where_it_could_not_see_its_program(
    hidden: dict[str, Path], machine: Place
) -> None:
    place = replace(machine, **hidden)  # type: ignore[arg-type]  # Both are paths.
    with pytest.raises(DaemonError, match="sees nothing below /home"):
        install(place)
    assert install(replace(place, user="ada"))


def test_a_checkout_that_the_machines_service_cannot_see_is_refused(machine: Place) -> None:
    with pytest.raises(DaemonError, match=r"^/home/ada/bertd/systemd: the system's service sees nothing"):
        install(replace(machine, units=Path("/home/ada/bertd/systemd")))


def test_a_link_to_where_the_machines_service_sees_nothing_is_followed(
    machine: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "bin").mkdir(parents=True)
    (tmp_path / "opt").symlink_to(hidden)
    monkeypatch.setattr(installation, "_HIDDEN_FOLDERS", (str(hidden),))
    with pytest.raises(DaemonError, match="sees nothing below"):
        install(replace(machine, program=tmp_path / "opt/bin/bertd"))


def test_a_failed_command_stops_the_steps_and_the_call_can_be_repeated(own: Place) -> None:
    def fail(command: Sequence[str]) -> None:
        raise DaemonError("no bus")

    with pytest.raises(DaemonError, match="no bus"):
        carry_out(plan_installation(own, lingers=True), run=fail)
    assert install(own)


@needs_systemd
def test_written_units_verify_without_a_word(machine: Place, own: Place, tmp_path: Path) -> None:
    program = tmp_path / "a place" / "bertd"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    for place, scope in ((machine, "--system"), (own, "--user")):
        install(replace(place, program=program), lingers=False)
        top = place.root if place.user is None else place.home
        units = [*top.rglob("bertd.service"), *top.rglob("bertd.socket")]
        verdict = analyze("verify", scope, "--man=no", *units)
        assert (verdict.returncode, verdict.stderr, verdict.stdout) == (0, "", "")

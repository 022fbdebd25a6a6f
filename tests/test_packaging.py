"""The wheel is complete: built, installed elsewhere, and used from a folder outside the checkout."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import bertd
from bertd.api.models import SubmitPretrain
from bertd.run.recipe.load import parse_recipe
from tests.cli.fake_daemon import FakeDaemon

CHECKOUT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def _run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: text for key, text in os.environ.items() if not key.startswith(("PYTHON", "BERTD_"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and a folder outside the checkout."""

    wheel: Path
    bin: Path
    packages: Path
    elsewhere: Path

    def run(self, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs from elsewhere."""
        return _run(self.bin / program, *arguments, cwd=self.elsewhere, **variables)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Without a network: the build backend and the dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    built = _run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT), cwd=elsewhere
    )
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel] = folder.glob("*.whl")
    made = _run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=elsewhere)
    assert made.returncode == 0, made.stderr
    packages = folder / "venv" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    # A path in a .pth file is searched, but the .pth files in it, such as this checkout's own, are not read.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    python = folder / "venv" / "bin" / "python"
    flags = ("--no-deps", "--no-index", "--disable-pip-version-check", "--ignore-installed")
    placed = _run(sys.executable, "-m", "pip", "--python", python, "install", *flags, wheel, cwd=elsewhere)
    assert placed.returncode == 0, placed.stdout + placed.stderr
    return Installed(wheel=wheel, bin=python.parent, packages=packages, elsewhere=elsewhere)


def _files(folder: Path, *, pattern: str) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob(pattern) if file.is_file()}


def test_the_installed_package_is_the_one_that_runs(installed: Installed) -> None:
    asked = installed.run("python", "-c", "import bertd, tui; print(bertd.__file__, tui.__file__)")
    where, dashboard = asked.stdout.split()
    assert Path(where).is_relative_to(installed.packages), asked.stderr
    assert Path(dashboard).is_relative_to(installed.packages)
    assert installed.run("bertd", "--version").stdout == f"bertd {bertd.__version__}\n"


def test_recipes_units_and_styles_are_in_it(installed: Installed) -> None:
    for source, target, pattern in [
        (CHECKOUT / "recipes", installed.packages / "bertd" / "recipes", "*.toml"),
        (CHECKOUT / "systemd", installed.packages / "bertd" / "systemd", "*"),
        (CHECKOUT / "tui", installed.packages / "tui", "*.tcss"),
    ]:
        expected = _files(source, pattern=pattern)
        assert expected, f"{source} holds none"
        assert _files(target, pattern=pattern) == expected


def test_every_module_is_in_it_and_no_test_is(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    for package in ("bertd", "tui"):
        for module in _files(CHECKOUT / package, pattern="*.py"):
            assert f"{package}/{module}" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"bertd", "tui", f"bertd-{bertd.__version__}.dist-info"}
    assert f"bertd-{bertd.__version__}.dist-info/licenses/LICENSE" in names


@pytest.mark.parametrize("name", sorted(file.stem for file in (CHECKOUT / "recipes").glob("*.toml")))
def test_a_recipe_is_submitted_by_name_far_from_the_checkout(name: str, installed: Installed, tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "d.sock") as daemon:
        data = ("--set", f"data.shards={tmp_path}")
        said = installed.run("bertd", "submit", name, *data, BERTD_SOCKET=str(daemon.socket))
        assert said.returncode == 0, said.stderr
        body = SubmitPretrain.model_validate_json(next(each.body for each in daemon.requests if each.body))
        recipe = parse_recipe(body.recipe_toml, name=body.recipe_name, overrides=body.overrides)
        assert (recipe.run.name, recipe.data.shards) == (name, str(tmp_path))


def test_the_dashboard_prints_a_run(installed: Installed, tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "d.sock") as daemon:
        said = installed.run("bert-tui", "--once", "--socket", str(daemon.socket))
        assert said.returncode == 0, said.stderr
        assert "7-demo" in said.stdout


def test_a_data_verb_reaches_its_program(installed: Installed) -> None:
    said = installed.run("bertd", "data", "prepare", "--help")
    assert said.returncode == 0, said.stderr
    assert "usage: bertd data prepare" in said.stdout.lower()

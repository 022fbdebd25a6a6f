"""The import rules as processes: programs of the control side never load torch.

import-linter reads the source in `make check`; this starts the programs, so that an import in a function, or one that
a library makes, is seen too.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bertd
import tui

FORBIDDEN = {"torch", "transformers", "tokenizers", "numpy", "safetensors", "bertd.data", "bertd.model", "bertd.train"}
CONTROL = (
    "bertd.api.client",
    "bertd.api.http",
    "bertd.cli",
    "bertd.jobs",
    "bertd.daemon",
    "bertd.demo",
    "bertd.daemon_bench",
    "bertd.doctor",
    "bertd.run",
)

_LIST = "; import json, sys; print(json.dumps(sorted(sys.modules)))"


def _loaded(code: str, **variables: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after `code`."""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    assert ended.returncode == 0, ended.stderr
    names: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return set(names)


def _modules(package: str, *, path: str) -> list[str]:
    """Every module under a package by name, without importing it."""
    return [module.name for module in pkgutil.walk_packages([path], prefix=f"{package}.")]


def _control_modules() -> list[str]:
    own = [name for name in _modules("bertd", path=bertd.__path__[0]) if name.startswith(CONTROL)]
    return [name for name in own if not name.endswith("__main__")] + [
        "bertd.errors",
        "bertd.records",
        "bertd.api.models",
    ]


def _dashboard_modules() -> list[str]:
    return [name for name in _modules("tui", path=tui.__path__[0]) if not name.endswith("__main__")]


ABSENT_FROM_PROOFS = (
    *("datasets", "textual", "fastapi", "starlette", "uvicorn", "sentencex", "typer", "rich", "pyarrow"),
    *("sklearn", "scipy"),
)
"""A box that is proven has torch and transformers, and few packages besides."""


def hide_modules(names: tuple[str, ...]) -> str:
    """Code after which these are as good as not installed, for import and for those who look whether they are there."""
    return f"import sys; sys.modules.update(dict.fromkeys({names!r}))\n"


def test_a_proof_and_all_it_starts_load_without_what_a_bare_box_lacks() -> None:
    packages = ("bertd.prove.", "bertd.bench.", "bertd.train.", "bertd.jobs.runner.", "bertd.glue.", "bertd.model.")
    # Imported only where its library is there: what runs without it must not import it.
    left_out = (
        "bertd.bench.glue",
        "bertd.bench.quality",
        "bertd.bench.scale",
        "bertd.train.backends.apex",
        "bertd.train.backends.triton_attention_kernels",
        "bertd.train.backends.triton_symmetric_product",
    )
    modules = [
        name
        for name in _modules("bertd", path=bertd.__path__[0])
        if name.startswith(packages) and not name.startswith(left_out)
    ]
    assert {"bertd.prove.steps.whole_run", "bertd.jobs.runner.__main__", "bertd.train.build_trainer"} <= set(modules)
    loaded = _loaded(f"{hide_modules(ABSENT_FROM_PROOFS)}import {', '.join(modules)}{_LIST}")
    assert "torch" in loaded


@pytest.mark.parametrize("module", ["bertd.prove.__main__", "bertd.prove.prove", "bertd.prove.steps.whole_run"])
def test_who_watches_a_card_from_outside_loads_no_torch(module: str) -> None:
    assert "torch" not in _loaded(f"import {module}{_LIST}")


def test_every_module_of_the_control_side_loads_without_torch() -> None:
    modules = _control_modules()
    assert {"bertd.cli.app", "bertd.daemon.service", "bertd.jobs.runner", "bertd.api.client"} <= set(modules)
    assert _loaded(f"import {', '.join(modules)}{_LIST}").isdisjoint(FORBIDDEN)


def test_a_rank_binds_itself_to_its_launcher_before_it_loads_torch() -> None:
    assert "torch" not in _loaded(f"import bertd.train.distributed.worker{_LIST}")


def test_every_module_of_the_dashboard_loads_without_torch() -> None:
    modules = _dashboard_modules()
    assert {"tui.app", "tui.feed"} <= set(modules)
    assert _loaded(f"import {', '.join(modules)}{_LIST}").isdisjoint(FORBIDDEN)


def test_the_first_frame_of_the_dashboard_waits_for_no_models() -> None:
    loaded = _loaded(f"import tui.app, tui.dashboard, tui.late_feed, tui.screens.run{_LIST}")
    assert "textual.app" in loaded
    assert loaded.isdisjoint({"pydantic", "httpx2", "bertd.api.models", "bertd.records.all_records"})


def _program(entry: str, *arguments: str) -> str:
    """Code that runs an entry point to its end and then lists the modules."""
    module, _, function = entry.partition(":")
    return "\n".join(
        [
            "import json, sys",
            f"sys.argv = {['program', *arguments]!r}",
            f"from {module} import {function}",
            "try:",
            f"    {function}()",
            "except SystemExit:",
            "    pass",
            "print()",
            "print(json.dumps(sorted(sys.modules)))",
        ]
    )


@pytest.mark.parametrize(
    ("entry", "arguments", "loads"),
    [
        ("bertd.cli.main:main", ["--help"], "bertd.cli.app"),
        ("bertd.cli.main:main", ["status"], "bertd.api.http"),
        ("bertd.cli.main:main", ["submit", "demo"], "bertd.run.recipe.schema"),
        ("tui.app:main", ["--once"], "tui.feed"),
    ],
)
def test_a_program_that_has_run_has_not_loaded_torch(
    entry: str, arguments: list[str], loads: str, tmp_path: Path
) -> None:
    loaded = _loaded(_program(entry, *arguments), BERTD_SOCKET=str(tmp_path / "absent.sock"), BERTD_DATA=str(tmp_path))
    assert loads in loaded
    assert loaded.isdisjoint(FORBIDDEN)


def test_a_daemon_that_has_served_has_not_loaded_torch(tmp_path: Path) -> None:
    """Start the daemon, request a status, shut it down over its socket, and list the modules it had loaded."""
    code = f"""
import json, sys, threading
from pathlib import Path
from bertd.api.client import Client
from bertd.daemon import service
from bertd.daemon.configuration.sources import ConfigurationSources

socket = Path({str(tmp_path / "d.sock")!r})
real_listen = service._open_listener

def listen(path):
    listening = real_listen(path)
    threading.Thread(target=ask).start()
    return listening

def ask():
    Client(socket).status()
    Client(socket).shutdown()

service._open_listener = listen
sources = ConfigurationSources(folders=(), options={{"daemon.state_dir": {str(tmp_path / "state")!r}}})
assert service.serve(sources, socket=socket) == 0
print(json.dumps(sorted(sys.modules)))
"""
    loaded = _loaded(code)
    assert "uvicorn" in loaded
    assert loaded.isdisjoint(FORBIDDEN)

"""A client that a stock generator makes of the OpenAPI document drives a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertd.api.http import send_request
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.jobs.runner_box import recipe_text, with_tests_on_path
from tests.waiting import PATIENCE_S

GENERATOR = Path(os.environ.get("BERTD_OPENAPI_GENERATOR", Path(sys.prefix) / "apart" / "openapi"))
"""Where `make test-long` installs openapi-python-client, apart: it brings an HTTP library that bertd does not use."""


@pytest.mark.long
@pytest.mark.skipif(not GENERATOR.is_dir(), reason=f"{GENERATOR} has no openapi-python-client; `make test-long` has")
def test_a_generated_client_drives_a_run(box: DaemonBox, tmp_path: Path) -> None:
    document = send_request(box.socket, "GET", "/openapi.json", body=None, headers={}).content
    (tmp_path / "openapi.json").write_bytes(document)
    environment = with_tests_on_path()
    environment["PYTHONPATH"] = f"{environment['PYTHONPATH']}:{tmp_path}:{GENERATOR}"
    command = [
        "generate",
        "--path",
        "openapi.json",
        "--output-path",
        "generated",
        "--meta",
        "none",
        "--fail-on-warning",
    ]
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command],
        cwd=tmp_path,
        env=environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    box.plan(Plan(hold_at=3))
    recipe = box.folder / "recipe.toml"
    recipe.write_text(recipe_text(steps=20, shards=str(box.shards)))
    driven = subprocess.run(
        [sys.executable, "-m", "tests.daemon.api.drive_generated_client", str(box.socket), str(recipe)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert driven.returncode == 0, driven.stdout + driven.stderr

"""A rank without a runner sets its process up as a run's own rank does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from bertd.prove import single_rank
from bertd.prove.run_probe import make_run
from bertd.prove.sizes import choose_recipe
from bertd.run.recipe.schema import Recipe
from bertd.train import run_inputs
from bertd.train.backends import deterministic
from bertd.train.distributed import process_group


class _JoinedError(Exception):
    """Raised where CUDA would start."""


def test_deterministic_algorithms_are_set_before_the_device_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = choose_recipe(is_cuda=True, is_tiny=True, overrides=["precision.deterministic=true"])
    make_run(tmp_path / "run", recipe)
    seen: list[Recipe] = []

    def join(*_: object, **__: object) -> None:
        raise _JoinedError

    monkeypatch.setattr(run_inputs, "load_run_inputs", lambda _: SimpleNamespace(recipe=recipe))
    monkeypatch.setattr(deterministic, "use_deterministic_algorithms", seen.append)
    monkeypatch.setattr(process_group, "join_ranks", join)
    with pytest.raises(_JoinedError):
        single_rank._train(tmp_path / "run", attempt=1, pause_at=None)
    assert seen == [recipe]

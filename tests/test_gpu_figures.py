"""Figures of a GPU in README.md are those of the newest proof; without a proof README says that there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bertd.prove.render import format_value
from bertd.prove.results import Proof
from tests.prove.test_goals import proof_with

ROOT = Path(__file__).parent.parent
NOT_MEASURED = "not measured on a GPU yet"
HEADLINES = ("whole_run.sequences_per_s", "comparison.ratio")
"""Figures that README must have of the newest proof, as render.py writes them."""


def find_newest_proof(folder: Path) -> Path | None:
    """By the date that its folder's name begins with."""
    proofs = sorted(folder.glob("*/proof.json"), key=lambda path: path.parent.name)
    return proofs[-1] if proofs else None


def find_missing_figures(readme: str, proof: Path | None) -> list[str]:
    """What README's first screen lacks."""
    first_screen = " ".join(readme.partition("## Use it")[0].split())
    if proof is None:
        return [] if NOT_MEASURED in first_screen else [NOT_MEASURED]
    content = Proof.model_validate_json(proof.read_bytes())
    figures = [figure for key in HEADLINES if (figure := content.figure(key)) is not None]
    wanted = [f"{format_value(figure.value)} {figure.unit}" for figure in figures] + [content.device_name]
    stale = [f"no longer {NOT_MEASURED}"] if NOT_MEASURED in first_screen else []
    return stale + [text for text in wanted if not re.search(rf"(?<![\d.,]){re.escape(text)}", first_screen)]


def test_readme_has_the_newest_proofs_figures_or_says_that_there_are_none() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not find_missing_figures(readme, find_newest_proof(ROOT / "docs" / "gpu"))


def test_a_committed_proof_is_whole_real_and_of_a_gpu() -> None:
    for path in (ROOT / "docs" / "gpu").glob("*/proof.json"):
        proof = Proof.model_validate_json(path.read_bytes())
        assert proof.is_complete and not proof.is_tiny and proof.device == "cuda", path
        assert (path.parent / "proof.md").is_file()


@pytest.mark.parametrize(
    ("readme", "missing"),
    [
        (
            "It is not measured on\na GPU yet. ## Use it",
            ["no longer not measured on a GPU yet", "2,123 sequences/s", "H200"],
        ),
        ("On an H200: 2,123 sequences/s. ## Use it", []),
        ("On an H200: 12,123 sequences/s. ## Use it", ["2,123 sequences/s"]),
        ("## Use it On an H200: 2,123 sequences/s.", ["2,123 sequences/s", "H200"]),
    ],
)
def test_a_figure_that_no_proof_has_is_found(readme: str, missing: list[str], tmp_path: Path) -> None:
    for name, value in (("2026-01-01-H200-a", 1.0), ("2026-02-01-H200-b", 2123.0)):
        (tmp_path / name).mkdir()
        proof = proof_with(("whole_run.sequences_per_s", value), name="H200")
        figures = [figure.model_copy(update={"unit": "sequences/s"}) for figure in proof.steps[0].findings.figures]
        step = proof.steps[0].model_copy(
            update={"findings": proof.steps[0].findings.model_copy(update={"figures": figures})}
        )
        (tmp_path / name / "proof.json").write_text(proof.model_copy(update={"steps": [step]}).model_dump_json())
    assert find_missing_figures(readme, find_newest_proof(tmp_path)) == missing


def test_without_a_proof_the_first_screen_says_so(tmp_path: Path) -> None:
    assert find_newest_proof(tmp_path) is None
    assert find_missing_figures("It is not measured on\na GPU yet. ## Use it", None) == []
    assert find_missing_figures("Fast. ## Use it not measured on a GPU yet", None) == [NOT_MEASURED]

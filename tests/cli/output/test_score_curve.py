"""Scores of a run's exports against the share of its budget."""

from __future__ import annotations

from bertd.api.models import ScoreView
from bertd.cli.output.score_curve import curves_text
from bertd.cli.output.tables import OutputStyle
from bertd.records import KeptCheckpoint
from bertd.scores.score_summary import export_shares, summarize_scores
from tests.cli import samples

PLAIN = OutputStyle(width=None, has_color=False, has_unicode=True)


def _trial(task: str, step: int, score: float) -> ScoreView:
    one = samples.score()
    changes = {"task": task, "source": f"7-demo/step-{step:09d}", "score": score}
    return one.model_copy(update={"score": one.score.model_copy(update=changes)})


def _shares(*steps: tuple[int, float]) -> dict[str, float]:
    kept = [
        KeptCheckpoint(
            name=f"step-{step:09d}",
            step=step,
            progress=share,
            size_bytes=1,
            validation_loss=None,
            markers=[],
            reasons=[],
        )
        for step, share in steps
    ]
    return export_shares([samples.run().model_copy(update={"id": "7-demo", "kept": kept})])


def test_each_task_has_a_row_with_the_exports_in_the_order_of_the_budget() -> None:
    trials = [_trial("rte", 400, 0.7), _trial("rte", 100, 0.5), _trial("rte", 200, 0.55), _trial("cola", 100, 0.1)]
    text = curves_text(summarize_scores(trials), shares=_shares((400, 1.0), (100, 0.25), (200, 0.5)), style=PLAIN)
    title, header, rte, cola = text.splitlines()
    assert title == "7-demo: medians against the share of its budget"
    assert header.split() == ["TASK", "25.0%", "50.0%", "100.0%"]
    assert rte.split() == ["rte", "0.5000", "0.5500", "0.7000", "▁▃█"]
    assert cola.split() == ["cola", "0.1000", "–", "–"]


def test_one_export_and_exports_without_a_kept_checkpoint_draw_nothing() -> None:
    trials = [_trial("rte", 400, 0.7), _trial("rte", 100, 0.5)]
    assert curves_text(summarize_scores(trials), shares=_shares((400, 1.0)), style=PLAIN) == ""
    assert curves_text([], shares={}, style=PLAIN) == ""

"""The line of GLUE scores names the best of each task's newest export, as many as fit."""

from __future__ import annotations

from dataclasses import replace

from bertd.api.models import ScoreView
from tests.tui.fake_feed import FakeFeed
from tui.display_options import DisplayOptions
from tui.panels.glue import GluePanel, best_scores
from tui.snapshot import Snapshot


def _scores(*scored: tuple[str, float, str]) -> tuple[ScoreView, ...]:
    """Newest first."""
    one = FakeFeed().simulation.scores()[0]
    num = len(scored)
    return tuple(
        one.model_copy(
            update={
                "score": one.score.model_copy(
                    update={
                        "task": task,
                        "score": score,
                        "source": source,
                        "metric": "accuracy",
                        "lr": 1e-5 * (1 + index),
                        "t": 1e9 + num - index,
                    }
                )
            }
        )
        for index, (task, score, source) in enumerate(scored)
    )


def _snapshot(scores: tuple[ScoreView, ...], *, run_id: str = "12-academic-large") -> Snapshot:
    feed = FakeFeed()
    return replace(feed.current, charts=replace(feed.current.charts, run_id=run_id, scores=scores))


def test_the_best_of_the_newest_export_is_shown_and_not_that_of_an_older_one() -> None:
    scores = _scores(("cola", 0.50, "r/2"), ("rte", 0.7, "r/2"), ("cola", 0.55, "r/2"), ("cola", 0.60, "r/1"))
    assert sorted(best_scores(scores)) == [("cola", 0.55), ("rte", 0.7)]
    assert (
        GluePanel().draw(_snapshot(scores), DisplayOptions(), 80, 1)[0].plain.rstrip() == "GLUE  cola 55.0 · rte 70.0"
    )


def test_what_does_not_fit_is_counted() -> None:
    tasks = ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte")
    scores = _scores(*((task, 0.8, "r/1") for task in tasks))
    for width in range(30, 140):
        (text,) = GluePanel().draw(_snapshot(scores), DisplayOptions(), width, 1)
        assert text.width == width
        shown = text.plain.count("80.0")
        assert shown == len(tasks) or f"and {len(tasks) - shown} more" in text.plain


def test_without_a_score_it_says_how_to_get_one_and_what_is_not_known_is_not_said_to_be_none() -> None:
    assert "no score yet" in GluePanel().draw(_snapshot(()), DisplayOptions(), 60, 1)[0].plain
    assert "not known yet" in GluePanel().draw(_snapshot((), run_id=""), DisplayOptions(), 60, 1)[0].plain

"""bertd.run.recipe.stop_rules."""

from __future__ import annotations

import math

import pytest

from bertd.run.recipe.stop_rules import parse_stop_rule


def test_a_rule_is_read_from_its_sentence() -> None:
    rule = parse_stop_rule("  after 3h loss > 6.0 ")
    assert (rule.text, rule.after_s, rule.max_loss) == ("after 3h loss > 6.0", 3 * 3600, 6.0)


@pytest.mark.parametrize(
    "text", ["", "loss > 6", "after 3h loss < 6", "after 3h loss >", "after loss > 6", "after 3h perplexity > 6"]
)
def test_another_sentence_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write: after 3h loss > 6.0"):
        parse_stop_rule(text)


def test_a_rule_with_a_bad_duration_says_how_durations_are_written() -> None:
    with pytest.raises(ValueError, match="'3 weeks' is not a duration"):
        parse_stop_rule("after 3 weeks loss > 6.0")


@pytest.mark.parametrize(
    ("charged_s", "validation_loss", "holds"),
    [
        (3599, 9.0, False),
        (3600, 9.0, True),
        (3600, 6.0, False),
        (3600, 5.9, False),
        (3600, None, False),
        (3600, math.nan, True),
        (3600, math.inf, True),
    ],
)
def test_a_rule_holds_after_its_time_and_above_its_loss(
    charged_s: float, validation_loss: float | None, holds: bool
) -> None:
    assert parse_stop_rule("after 1h loss > 6.0").is_met(charged_s=charged_s, validation_loss=validation_loss) is holds

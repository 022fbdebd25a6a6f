"""Requests and responses of the socket API about sweeps."""

from __future__ import annotations

from bertd.api.models import GroupName, Priority
from bertd.records import JobState, Record, SettingState, SweepRung, SweepSpec, SweepState


class SubmitSweep(Record):
    """Body of POST /v1/sweeps."""

    spec: SweepSpec
    """With absolute paths."""
    sweep_toml: str
    """The file's text, kept in the sweep's folder."""
    sweep_name: str
    """The file's name, in error messages."""
    recipe_toml: str
    """The base recipe's text."""
    recipe_name: str
    priority: Priority = 0
    group: GroupName | None = None
    """A group of the configuration, for whose limits each of its runs counts."""


class SettingView(Record):
    """One setting of a sweep."""

    number: int
    values: dict[str, str]
    """section.key to its value, of the axes alone."""
    state: SettingState
    reason: str
    rank: int | None
    """1 is the best; the further a setting came, the better, then by its newest loss. None before its first loss."""
    losses: list[float]
    """Validation loss in nats at each rung that it reached, the end included."""
    charged_s: float
    job_id: int | None
    run_id: str | None
    job_state: JobState | None
    job_reason: str | None = None


class SweepView(Record):
    """One sweep."""

    id: int
    name: str
    state: SweepState
    reason: str
    folder: str
    recipe_name: str
    group: str | None = None
    """The group for whose limits its runs count."""
    rungs: list[SweepRung]
    end_s: float | None
    num_settings: int
    num_by_state: dict[SettingState, int]
    charged_s: float
    """Over all runs so far."""
    max_charged_s: float | None
    """The most that all runs together are charged; None for a budget of steps or sequences."""
    winner: int | None
    """Number of the best setting, when the sweep is done."""
    winner_recipe: str | None
    """Its recipe's path."""
    created_t: float
    ended_t: float | None
    settings: list[SettingView] = []
    """By number; only in the response for a single sweep."""

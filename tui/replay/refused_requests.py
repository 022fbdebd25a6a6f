"""The requests that a replay cannot serve: there is no daemon, and its run is not here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from bertd.api.models import (
    AnySubmission,
    DeviceView,
    GridEstimateView,
    JobView,
    LendEstimateView,
    LogView,
    RunView,
    SubmitFinetune,
    SubmitGrid,
)
from bertd.errors import ClientError
from bertd.records import BudgetRequest
from tui.snapshot import Place


def _refuse(what: str = "nothing can be changed") -> NoReturn:
    raise ClientError(f"this is a replay of a journal: {what}; start bert-tui without --replay, where a daemon runs")


class RefusedRequests:
    """Part of a feed; each raises ClientError."""

    def pause(self, job_id: int, *, hot: bool = False) -> JobView:
        _refuse()

    def resume(self, job_id: int) -> JobView:
        _refuse()

    def checkpoint(self, job_id: int) -> JobView:
        _refuse()

    def stop(self, job_id: int) -> JobView:
        _refuse()

    def hold(self, job_id: int) -> JobView:
        _refuse()

    def release(self, job_id: int) -> JobView:
        _refuse()

    def prioritize(self, job_id: int, priority: int) -> JobView:
        _refuse()

    def submit(self, job: AnySubmission) -> JobView:
        _refuse()

    def finetune_later(self, run: str, arguments: Sequence[str], *, after: str) -> JobView:
        _refuse()

    def change_budget(self, run_id: str, request: BudgetRequest) -> RunView:
        _refuse()

    def would_start(self, job_id: int) -> list[JobView]:
        _refuse()

    def estimate_lend(self, order: SubmitFinetune | SubmitGrid) -> LendEstimateView:
        _refuse()

    def estimate_grid(self, grid: SubmitGrid) -> GridEstimateView:
        _refuse()

    def move(self, job_id: int, *, to: Place, job: int | None = None) -> JobView:
        _refuse()

    def clone(self, job_id: int) -> JobView:
        _refuse()

    def drain(self, device_id: str) -> DeviceView:
        _refuse()

    def undrain(self, device_id: str) -> DeviceView:
        _refuse()

    def log(self, job_id: int, *, offset: int, limit: int) -> LogView:
        _refuse("it has no log")

    def log_since(self, job_id: int, *, t: float, limit: int) -> LogView:
        _refuse("it has no log")

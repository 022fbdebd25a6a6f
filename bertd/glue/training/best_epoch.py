"""The epoch of a finetuning that is best on the development set; its weights are kept only if they are asked for."""

from __future__ import annotations

from torch import Tensor, nn

from bertd.glue.training.dev_predictions import DevPredictions


class BestEpoch:
    """What was measured after each epoch, and the best of them; of equals the first."""

    def __init__(self, *, metric: str, keeps_weights: bool) -> None:
        self._metric = metric
        self._keeps_weights = keeps_weights
        self._all: list[dict[str, float]] = []
        self._weights: dict[str, Tensor] | None = None
        self._predictions: DevPredictions = {}

    @property
    def scores(self) -> list[float]:
        """The task's metric, by which the epoch is chosen, after each epoch."""
        return [metrics[self._metric] for metrics in self._all]

    @property
    def epoch(self) -> int:
        """Number of the best epoch, from 1."""
        return self.scores.index(max(self.scores)) + 1

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics after the best epoch."""
        return self._all[self.epoch - 1]

    @property
    def last_metrics(self) -> dict[str, float]:
        """All metrics after the newest epoch."""
        return self._all[-1]

    @property
    def all_metrics(self) -> list[dict[str, float]]:
        """All metrics after each epoch."""
        return list(self._all)

    @property
    def weights(self) -> dict[str, Tensor] | None:
        """Those of the best epoch, on the CPU, if they are kept."""
        return self._weights

    @property
    def predictions(self) -> DevPredictions:
        """After the best epoch; none if they were not given."""
        return self._predictions

    def resume(
        self,
        all_metrics: list[dict[str, float]],
        *,
        weights: dict[str, Tensor] | None,
        predictions: DevPredictions,
    ) -> None:
        """Continue after the epochs that an earlier attempt measured."""
        self._predictions = predictions
        self._all = list(all_metrics)
        self._weights = weights

    def consider(self, metrics: dict[str, float], model: nn.Module, *, predictions: DevPredictions) -> None:
        """Take the metrics after one more epoch, and its predictions and weights if it is the best so far."""
        self._all.append(metrics)
        if self.epoch < len(self._all):
            return
        self._predictions = predictions
        if self._keeps_weights:
            self._weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}

    def restore(self, model: nn.Module) -> None:
        """Give the model, on any device, the weights of the best epoch."""
        assert self._weights is not None, "keeps_weights is set"
        model.load_state_dict(self._weights)

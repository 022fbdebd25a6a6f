"""The made-up prose of the data path's tests, and a vocabulary trained on it."""

from tests.data.conftest import corpus, dataset, vocab

__all__ = ["corpus", "dataset", "vocab"]

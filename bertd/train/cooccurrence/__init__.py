"""First weights from counts of which words stand near each other: a model predicts from them before it trains."""

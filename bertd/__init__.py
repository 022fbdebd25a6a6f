"""bertd: train BERT-class encoders within a budget."""

__version__ = "0.1.0"

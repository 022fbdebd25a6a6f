"""bertd: train BERT-class encoders within a budget."""

__version__ = "0.2.0"

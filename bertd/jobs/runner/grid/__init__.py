"""The runner of a grid of finetunings: its trials, its workers, its outcome."""

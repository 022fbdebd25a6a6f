"""The dialogs with fields: a finetuning, a budget, a new run."""

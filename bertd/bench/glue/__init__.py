"""Finetuning bench: bertd and a stock transformers.Trainer script finetune the same encoder on the same tasks."""

"""Finetune a model, and measure it on development sets."""

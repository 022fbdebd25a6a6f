"""Pretraining: the training loop, its ranks, optimizers, checkpoints, and choices that are measured on the device."""

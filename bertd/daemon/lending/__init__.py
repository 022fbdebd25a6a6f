"""Lending the devices of a pretraining: it is paused, finetunings run on them, and it continues by itself."""

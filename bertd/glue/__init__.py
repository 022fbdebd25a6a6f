"""Finetuning on GLUE tasks."""

"""Encoders as classifiers: load one, keep one."""

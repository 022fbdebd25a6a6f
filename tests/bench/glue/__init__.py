"""Tests of bertd.bench.glue."""

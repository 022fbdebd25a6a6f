"""Readers of rows: JSON, CSV, TSV and Parquet."""

"""Scores of finetunings, summarized for the command line and the dashboard; published rows beside them."""

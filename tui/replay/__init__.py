"""`bert-tui --replay RUN`: a run played from its journal, without a daemon."""

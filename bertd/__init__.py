"""bertd: train BERT-class encoders within a budget. Two sides, which never import each other, and what both read.

Compute, with torch:                                     Control, without:
data       from a corpus to masked batches               jobs    the queue, and the process that runs a job
tokenizer  WordPiece, and published tokenizers           daemon  schedules jobs, serves the socket API
model      the encoder, its loss, its export             api     that API: models and client
train      the ranks of a run: loop, checkpoints, ...    cli     the `bertd` command
glue       finetuning                                    demo    what `make demo` shows
bench      speed and quality beside stock models         (tui    the dashboard, a package of its own)
prove      what a machine computes, and how fast

Both: run (a run's folder on disk), records (what crosses a process), errors, program (a main's edge), terminal_text.
"""

__version__ = "0.2.0"

"""Demo: pretrain and finetune an encoder on the docstrings of the installed Python packages."""

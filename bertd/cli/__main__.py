"""`python -m bertd.cli` is `bertd`."""

from bertd.cli.app import main

main()

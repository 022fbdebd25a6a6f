"""`python -m bertd` is the `bertd` command."""

from bertd.cli.app import main

if __name__ == "__main__":
    main()

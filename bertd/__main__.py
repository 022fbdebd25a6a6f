"""`python -m bertd` is the `bertd` command."""

from bertd.cli.main import main

if __name__ == "__main__":
    main()

"""The subcommands of bertd."""

"""What the subcommands print."""

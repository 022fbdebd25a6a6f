"""The programs of `bertd data`, a module per subcommand."""

"""The command line: `bertd SUBCOMMAND`. A module per group of subcommands; tables and views format answers as text."""

"""The command line: `bertd VERB`. One module per group of verbs; tables and views turn answers into text."""

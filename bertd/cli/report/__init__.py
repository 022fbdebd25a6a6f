"""`bertd report`: one or several runs as one HTML file or as Markdown."""

"""Over the documents of all parts: which repeat an earlier one, which are too many, which are held out."""

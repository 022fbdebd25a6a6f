"""Two exports compared by what their finetunings predicted of the same development sets."""

"""Quality bench: bertd and stock BertForMaskedLM trained for the same time, evaluated on the same tokens."""

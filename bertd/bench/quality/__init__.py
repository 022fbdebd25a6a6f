"""What a budget buys: this system and stock BertForMaskedLM for the same minutes, judged by the same tokens."""

"""What a finetuning teaches: how examples become ids and targets, the loss, and the scores."""

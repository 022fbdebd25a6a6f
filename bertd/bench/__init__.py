"""`bertd bench`: this model against stock ones on the same machine, tensors and work."""

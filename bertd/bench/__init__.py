"""`bertd bench`: training speed of this model and of stock ones, on the same machine, tensors and work."""

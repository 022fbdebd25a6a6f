"""One pretraining: schedule, optimizer, checkpoints, the loop, its ranks."""

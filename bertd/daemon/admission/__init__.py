"""What a submission must have: each module refuses one kind of run that is known to fail."""

"""What is read of devices once a second, what it means for their jobs, and the energy that these use."""

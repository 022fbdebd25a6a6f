"""What a job may have to wait for besides devices: other jobs, and times."""

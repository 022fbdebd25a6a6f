"""The queue's database: jobs, lifecycle, events, audit."""

"""Job descriptions for other engines: Slurm, Kubernetes, SkyPilot. Pure."""

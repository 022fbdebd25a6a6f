"""Tables beside the jobs: each module reads and writes one."""

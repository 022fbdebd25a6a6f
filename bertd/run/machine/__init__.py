"""This machine as the run folder's readers see it: processes, processor, GPUs, disks, the rights to folders."""

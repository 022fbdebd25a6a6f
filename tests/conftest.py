"""For all tests."""

import os

# Before anything imports torch: its threads wait by spinning, which on tensors this small costs more than it gives.
os.environ.setdefault("OMP_NUM_THREADS", "1")

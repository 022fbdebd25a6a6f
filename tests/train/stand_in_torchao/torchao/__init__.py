"""A stand-in for torchao in tests: the names and signatures of 0.18 that bertd calls, without its kernels."""

"""NVIDIA's apex: detection, substitution, numerical checks."""

"""`bertd doctor`: check a machine for what makes jobs fail, or makes them slow without a word."""

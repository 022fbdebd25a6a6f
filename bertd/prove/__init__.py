"""One command that proves a box: is it right here, how fast is it, and does a whole run work. `bertd prove`."""

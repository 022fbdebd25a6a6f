"""How much of the disk runs may take: measured, warned of, thinned, and refused when it is used up."""

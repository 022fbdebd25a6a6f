"""How text, curves and numbers are drawn in cells of the terminal."""

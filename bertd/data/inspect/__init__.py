"""What a data set holds, as numbers and as text."""

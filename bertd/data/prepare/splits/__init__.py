"""Parts to the two splits of a data set, and the counts of each source."""

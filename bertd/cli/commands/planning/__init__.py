"""`bertd plan`: what a budget will buy."""

"""What a budget will buy: measurements of one run on a machine, and a plan for another budget from them. Pure."""

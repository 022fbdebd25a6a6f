"""What the charts of a run show: axes and ranges, events, a reference, what is ahead. Pure."""

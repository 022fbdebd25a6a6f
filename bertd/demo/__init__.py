"""The main job on the text of this machine's own documentation."""

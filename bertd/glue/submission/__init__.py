"""The zip of predictions that GLUE's leaderboard takes."""

"""Where records come from: one folder per kind, each delivering bytes with the positions they stand at."""

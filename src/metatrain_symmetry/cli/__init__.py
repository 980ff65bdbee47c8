"""Commands: argument parsing and messages only, no mathematics."""

"""What the commands do, as functions: reports of models and of runs, purification."""

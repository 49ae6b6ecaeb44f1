"""A run: from the command line to processes, iterations, checkpoints and reports."""

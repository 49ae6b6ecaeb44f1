"""What is wrong with a dataset, and what is told about it."""

"""From a dataset and a machine to a config that trains: every value with its reason."""

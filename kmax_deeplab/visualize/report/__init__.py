"""The report of a run, or of two: a page for finding faults."""

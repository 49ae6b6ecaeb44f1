"""Panoptic data on arrays: categories, labelled images, copy-paste, targets and file format."""

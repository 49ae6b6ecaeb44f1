"""Pictures on arrays: panoptic overlays, pixel-to-cluster maps, and the report of a run."""

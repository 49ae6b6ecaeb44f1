"""From final predictions of an image to panoptic, semantic and instance results."""

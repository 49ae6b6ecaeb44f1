"""The COCO-panoptic format: reading and writing JSONs, PNGs, images and categories."""

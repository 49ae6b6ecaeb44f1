"""Other people's labels and archives on their way to the COCO-panoptic format."""

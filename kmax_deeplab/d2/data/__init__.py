"""Datasets in Detectron2's catalogs, and samples on their way to the model."""

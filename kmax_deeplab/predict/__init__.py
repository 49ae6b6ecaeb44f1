"""Predicting images that have no labels, without Detectron2."""

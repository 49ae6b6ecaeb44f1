"""Measuring: how long the stages of a step take and how much memory they need."""

"""Configs: keys and their meaning, files, what they may say, and the config of a run."""

"""Evaluators: outputs of the model enter, figures and files leave."""

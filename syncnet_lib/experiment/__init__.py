"""Notebooks, DVC stages, MLflow."""

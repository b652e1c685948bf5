"""The gate (pure), the contest between champion and challenger, and the MLflow registry."""

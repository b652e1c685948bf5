"""The hallway: one folder a pipeline, each a list of nodes."""

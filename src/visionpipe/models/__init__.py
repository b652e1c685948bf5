"""Classifiers: backbones, fine-tuning, calibration, and the candidate with its papers."""

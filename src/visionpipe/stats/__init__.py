"""Intervals and tests that know nothing of images: NumPy arrays in, small frozen dataclasses out.

Shapes: N observations, M of a second sample, B resamples, G clusters, D features.
"""

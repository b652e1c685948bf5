"""Retraining: reviewed labels come back, and a challenger is trained and judged."""

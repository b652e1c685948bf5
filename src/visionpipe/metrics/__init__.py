"""How good is a classifier? Accuracy-like and ranking metrics, calibration, each with its interval."""

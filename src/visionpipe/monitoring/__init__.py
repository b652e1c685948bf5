"""Watch a model in production: the prediction log, the drift verdict and Evidently's report."""

"""Which bytes, labels, code and settings a model came from, and the way back to them."""

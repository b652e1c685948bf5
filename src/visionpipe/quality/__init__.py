"""Is the data fit to be trained on? Expectations on the tables, and how far the labels can be trusted."""

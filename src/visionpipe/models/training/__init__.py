"""The training loop: what it is fed, what a step does, and where an unfinished training stands."""

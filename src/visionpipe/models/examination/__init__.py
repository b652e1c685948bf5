"""A model driven beyond its test images: corruption, attack, unrelated pictures, speed, and what it looks at."""

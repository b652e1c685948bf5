"""visionpipe keeps an image classifier true: it notices drift, retrains, and promotes only what is proven better."""

import os

__version__ = "0.1.0"

# No library that visionpipe drives may phone home or chatter; a user who wants either sets these before starting.
for _switch, _value in {
    "DO_NOT_TRACK": "true",
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # visionpipe shows its own
}.items():
    os.environ.setdefault(_switch, _value)

# Threads that spin while they wait keep the thread that they wait for off a busy core: on two shared cores inference
# fell from 120 to 3 images/s, and to 35 with threads that sleep instead. Alone on the machine sleeping at once costs
# 10-30 %; GNU's threads spin for some microseconds first, which costs 6 % on a busy one.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# what Arrow's own allocator keeps after reading a table of 200,000 images is more than the table
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

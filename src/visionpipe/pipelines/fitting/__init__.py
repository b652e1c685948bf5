"""The training as DVC runs it: without its page, whose template must not make it train again.

A package of its own, for DVC's stages depend on the package that they are named after.
"""

from visionpipe.pipelines.training import create_pipeline

__all__ = ["create_pipeline"]

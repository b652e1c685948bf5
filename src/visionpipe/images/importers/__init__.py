"""Where photos come from: each importer turns a source into a stream of `Photo`, without reading the images."""

from visionpipe.images.importers.listing import iterate_photos
from visionpipe.images.importers.photo import LabelClaim, Photo, ReadFile
from visionpipe.images.importers.source import Source

__all__ = ["LabelClaim", "Photo", "ReadFile", "Source", "iterate_photos"]

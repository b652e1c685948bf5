"""Where photos come from: each importer turns a source into a stream of `Photo`, without reading the images."""

from visionpipe.images.importers.listing import Source, iterate_photos
from visionpipe.images.importers.photo import LabelClaim, Photo, ReadFile

__all__ = ["LabelClaim", "Photo", "ReadFile", "Source", "iterate_photos"]

"""What one open store offers, as one record: the command line and the gRPC server work on this.

Built by `service.compose`; holds no logic.
"""

from dataclasses import dataclass

from service.ports import Backbone, Catalog
from service.usecases.gallery import Gallery
from service.usecases.ingest import Ingestor
from service.usecases.pictures import Pictures
from service.usecases.search import Searcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything that can be done with one open store."""

    catalog: Catalog
    backbone: Backbone
    gallery: Gallery
    searcher: Searcher
    ingestor: Ingestor
    pictures: Pictures

"""What one open store offers, as one record: the command line and the gRPC server work on this.

Built by `service.compose`; holds no logic.
"""

from collections.abc import Callable
from dataclasses import dataclass

from service.ports import Backbone, Catalog
from service.usecases.gallery import Gallery
from service.usecases.ingest import Ingestor
from service.usecases.operations import Operations
from service.usecases.pictures import Pictures
from service.usecases.rebuild import Rebuilder
from service.usecases.search import Searcher
from service.usecases.verify import Verification
from service.usecases.waiting import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything that can be done with one open store.

    `survives_power_loss` tells whether acknowledged changes do; they always survive the end of the process.
    """

    catalog: Catalog
    gallery: Gallery
    searcher: Searcher
    ingestor: Ingestor
    pictures: Pictures
    rebuilder: Rebuilder
    operations: Operations
    verify: Callable[[Report], Verification]
    survives_power_loss: bool = True

    @property
    def backbone(self) -> Backbone:
        """What embeds images and queries now."""
        return self.gallery.state.backbone

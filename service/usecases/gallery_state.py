"""What answers together: one backbone, and the snapshot whose codes were made from its embeddings.

In: both. Out: one frozen record, which a gallery replaces as a whole, so that a query encoder never meets codes of another model
(docs/decisions/0009). How it is changed is the gallery's.
"""

from dataclasses import dataclass

from service.errors import ModelMismatchError, PreconditionError
from service.ports import Backbone
from service.usecases.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class GalleryState:
    """A backbone with the snapshot that fits it, or without codes while the store has no hasher.

    Raises:
        ModelMismatchError: The snapshot's model was fitted on another backbone.
    """

    backbone: Backbone
    snapshot: Snapshot | None

    def __post_init__(self) -> None:
        if self.snapshot is None:
            return
        hasher = self.snapshot.hasher
        if hasher.backbone_identity != self.backbone.identity:
            raise ModelMismatchError(
                f"Hasher {hasher.identity} was fitted on embeddings of {hasher.backbone_identity}, the backbone is "
                f"{self.backbone.identity}. Use a hasher of that backbone.",
                expected=self.backbone.identity,
                found=hasher.backbone_identity,
            )

    @property
    def searchable(self) -> Snapshot:
        """The snapshot.

        Raises:
            PreconditionError: The store has no hasher yet.
        """
        if self.snapshot is None:
            raise PreconditionError(
                "The store has no hasher yet, so its images have no codes. Run `polyhash train hasher` on the store.",
                reason="NO_HASHER",
            )
        return self.snapshot

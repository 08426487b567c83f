"""Every failure the service can name, each with a stable reason and the facts behind it.

In: what went wrong. Out: exceptions that the command line prints and `service.rpc.status` maps to gRPC codes.
Nothing here knows of gRPC.

    PolyhashError
    ├── InvalidArgumentError        the caller's request cannot be carried out as it stands
    │   └── ImageError              the bytes are no image we can take
    │       ├── UnreadableImageError
    │       └── ImageTooLargeError
    ├── NotFoundError               a named thing does not exist
    ├── ConflictError               the thing exists already, or is being changed by someone else
    │   └── NearDuplicateError
    ├── PreconditionError           the store or model is not in a state that allows it
    │   ├── StoreFormatError
    │   ├── StoreHeldError
    │   └── ModelMismatchError
    ├── ResourceExhaustedError      a limit was reached; later may do
    ├── UnavailableError            something outside (a hub, a disk) did not answer; trying again may help
    └── DataLossError               something stored is damaged
"""

from typing import ClassVar


class PolyhashError(Exception):
    """Base of all errors of the service.

    Attributes:
        reason: UPPER_SNAKE word that programs may rely on (google.rpc.ErrorInfo.reason).
        metadata: Facts behind the message, as strings.
        field: Name of the request field at fault, or empty.
    """

    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self, message: str, *, reason: str | None = None, field: str = "", **metadata: object
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidArgumentError(PolyhashError):
    """The request cannot be carried out as it stands; changing it helps, repeating does not."""

    default_reason = "INVALID_ARGUMENT"


class ImageError(InvalidArgumentError):
    """The bytes are no image that can be taken."""

    default_reason = "IMAGE_INVALID"


class UnreadableImageError(ImageError):
    """The bytes are empty, of an unknown format, truncated or corrupt."""

    default_reason = "IMAGE_UNREADABLE"


class ImageTooLargeError(ImageError):
    """The image has more bytes or pixels than the limits allow."""

    default_reason = "IMAGE_TOO_LARGE"


class NotFoundError(PolyhashError):
    """A named image, set, file, model or store does not exist."""

    default_reason = "NOT_FOUND"


class ConflictError(PolyhashError):
    """The thing exists already, or is being changed by someone else."""

    default_reason = "CONFLICT"


class NearDuplicateError(ConflictError):
    """The image nearly repeats one of the gallery, which refuses such images."""

    default_reason = "NEAR_DUPLICATE"


class PreconditionError(PolyhashError):
    """The store or the model is not in a state that allows the request."""

    default_reason = "FAILED_PRECONDITION"


class StoreFormatError(PreconditionError):
    """The store was written in a format that this version does not read."""

    default_reason = "STORE_FORMAT"


class StoreHeldError(PreconditionError):
    """Another process holds the store for writing."""

    default_reason = "STORE_HELD"


class ModelMismatchError(PreconditionError):
    """Codes, embeddings or models of different origin were about to meet."""

    default_reason = "MODEL_MISMATCH"


class ResourceExhaustedError(PolyhashError):
    """A limit was reached; trying later may succeed."""

    default_reason = "RESOURCE_EXHAUSTED"


class UnavailableError(PolyhashError):
    """Something outside the process did not answer; trying again may help."""

    default_reason = "UNAVAILABLE"


class DataLossError(PolyhashError):
    """Something stored is damaged."""

    default_reason = "DATA_LOSS"

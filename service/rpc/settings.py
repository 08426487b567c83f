"""What an operator may set about serving, and the one limit that both ends of a connection share.

In: numbers with units. Out: a checked, frozen `ServerSettings`. Nothing here starts anything.
"""

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 32 * 2**20  # per gRPC message, either way; both ends set it


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Limits of one server.

    Attributes:
        max_calls: Unary calls worked on at once; one more gets RESOURCE_EXHAUSTED.
        max_waits: Calls that wait for the end of an operation at once, beside the calls.
        max_ingest_streams: Uploads open at once, beside the calls, so that they cannot starve searches.
        max_search_streams: Streams of searches open at once, beside the calls.
        max_image_bytes: Largest encoded image. Below the message limit, so that it is refused with its reason.
        max_call_s: Seconds a unary call may take, whatever deadline its client gave or forgot to give.
        stream_idle_s: Seconds a stream may wait for its client's next request.
        stream_buffer_bytes: Requests that one stream holds before it stops reading from its client.
    """

    max_calls: int = 32
    max_waits: int = 16
    max_ingest_streams: int = 4
    max_search_streams: int = 16
    max_image_bytes: int = 24 * 2**20
    max_call_s: float = 60.0
    stream_idle_s: float = 60.0
    stream_buffer_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        if self.max_image_bytes >= MAX_MESSAGE_BYTES:
            raise ValueError(
                f"max_image_bytes must be below the message limit of {MAX_MESSAGE_BYTES} bytes, "
                f"got {self.max_image_bytes}."
            )

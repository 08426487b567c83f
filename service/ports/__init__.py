"""The seams of the service: what its use cases need from vision, hashing and storage.

In and out: the frozen records of `records`. No gRPC, torch, FAISS or SQLAlchemy here, so use cases can be read and tested
without them. Each Protocol has a contract suite in tests/contracts/, and may be checked at run time, so that tests can tell an
implementation.
"""

from service.ports.catalog import Catalog
from service.ports.codes import Hasher, RecordIndex
from service.ports.files import Generations, Originals
from service.ports.vision import Backbone, Decode
from service.ports.workers import Workers

__all__ = [
    "Backbone",
    "Catalog",
    "Decode",
    "Generations",
    "Hasher",
    "Originals",
    "RecordIndex",
    "Workers",
]

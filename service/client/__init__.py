"""Clients of a polyhash server, synchronous and asynchronous.

In: an address and plain arguments. Out: the records of `service.rpc`'s results, or ApiError. Light to import: no torch, FAISS,
SQLAlchemy or NumPy.

    with Client("localhost:50051") as client:
        for outcome in client.ingest(Path("photos").glob("*.jpg")):
            print(outcome)
        for hit in client.search(image=Path("query.jpg"), k=5).hits:
            print(hit.distance, hit.image.name)
"""

from service.client.asynchronous import AsyncClient
from service.client.blocking import Client
from service.rpc.api_error import ApiError
from service.rpc.index_results import Finding, Generation, Operation, Progress, Rebuilt, Stats, Verified
from service.rpc.outbox import NewImage
from service.rpc.results import Encoding, Image, Ingested, Refused, Updated
from service.rpc.search_calls import (
    AttributeFacet,
    CreatedFacet,
    LabelFacet,
    Neighbourhood,
    ScoreFacet,
    SearchQuery,
)
from service.rpc.search_results import (
    Bucket,
    FacetCounts,
    FacetResult,
    FilterCounts,
    Hit,
    MatchCounts,
    SearchResult,
)
from service.usecases.filters import ImageFilter, ScoreRange

__all__ = [
    "ApiError",
    "AsyncClient",
    "AttributeFacet",
    "Bucket",
    "Client",
    "CreatedFacet",
    "Encoding",
    "FacetCounts",
    "FacetResult",
    "FilterCounts",
    "Finding",
    "Generation",
    "Hit",
    "Image",
    "ImageFilter",
    "Ingested",
    "LabelFacet",
    "MatchCounts",
    "Neighbourhood",
    "NewImage",
    "Operation",
    "Progress",
    "Rebuilt",
    "Refused",
    "ScoreFacet",
    "ScoreRange",
    "SearchQuery",
    "SearchResult",
    "Stats",
    "Updated",
    "Verified",
]

"""Galleries whose codes are the bytes of their embeddings: an empty catalog to begin with, and what is nearest to a code.

In: a kind of catalog, hashers, codes. Out: a catalog that knows its models, and (distance, id) pairs.
"""

from contextlib import contextmanager

from service.records import ModelKind
from service.usecases.queries import CodeQuery, SearchRequest
from service.usecases.query_encoder import QueryEncoder
from service.usecases.search import Searcher
from service.vision.images import decode_image
from tests.contracts.echoes import RECORD_BYTES, EchoHasher
from tests.contracts.fakes import FakeBackbone
from tests.contracts.memory_catalog import MemoryCatalog
from tests.service.sql_catalog import opened

ZEROS, ONES = bytes(RECORD_BYTES), bytes([255] * RECORD_BYTES)


@contextmanager
def empty_catalog(kind, folder):
    """Give an empty catalog, in "memory" or "sql", that uses the echo hasher."""
    if kind == "memory":
        yield registered(MemoryCatalog())
    else:
        with opened(folder / "catalog.sqlite") as catalog:
            yield registered(catalog)


def registered(catalog, *hashers):
    """Return a catalog that knows the backbone and these hashers, and uses the first."""
    hashers = hashers or (EchoHasher(),)
    catalog.register_model(FakeBackbone.identity, ModelKind.BACKBONE, path="", metadata={})
    for hasher in hashers:
        catalog.register_model(hasher.identity, ModelKind.HASHER, path="", metadata={})
    catalog.activate_model(hashers[0].identity)
    return catalog


def searcher_over(gallery):
    return Searcher(gallery, QueryEncoder(decode=decode_image))


def found(gallery, code, **more):
    """Return (distance, id) pairs of the nearest to a code or record."""
    answer = searcher_over(gallery).search(SearchRequest(query=CodeQuery(code=code), **{"k": 100, **more}))
    return [(hit.distance, hit.image_id) for hit in answer.hits]

"""A served gallery with known codes in tests of searches: filled with images, searched, and what plain loops say of it.

In: how many images. Out: stubs, and expected hits computed from the codes of the catalog, without index or filter columns.
"""

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from polyhash.v1 import filter_pb2, search_service_pb2, search_service_pb2_grpc

from service.application import Application
from service.records import NewImage
from service.rpc.api_error import read_rpc_error
from tests.contracts.fakes import FakeBackbone, FakeHasher, new_application, served
from tests.contracts.memory_models import noon

TIMEOUT_S = 20
LENGTHS = FakeHasher.lengths


def new_images(seeds):
    """Return images whose embeddings are close enough for ties, with a label that many, some or few have."""
    return [
        NewImage(
            sha256=seed.to_bytes(32, "big"),
            name=f"{seed}.png",
            source=f"{seed}.png",
            stored=False,
            byte_size=1,
            width=1,
            height=1,
            format="PNG",
            labels=tuple(f"every {n}" for n in (1, 2, 10, 100) if seed % n == 0),
            attributes={"camera": f"c{seed % 3}"} if seed % 4 else {},
            scores={"valence": float(seed % 50)} if seed % 5 else {},
            embedding=np.random.default_rng(seed).random(FakeBackbone.dim, dtype=np.float32),
        )
        for seed in seeds
    ]


@dataclass
class Searched:
    """A served gallery."""

    application: Application
    search: Any  # the stub
    address: str

    def ask(self, **arguments):
        return self.search.Search(search_service_pb2.SearchRequest(**arguments), timeout=TIMEOUT_S)

    def code(self, image_id, bits):
        return self.codes(bits)[image_id]

    def codes(self, bits):
        """Return the code of every image in the catalog."""
        catalog = self.application.catalog
        ids = [row.image_id for row in catalog.list_images(after_id=0, limit=100_000)]
        records = catalog.get_records(ids, hasher=FakeHasher.identity)
        part = slice(0, 2) if bits == 16 else slice(2, 6)
        return {image_id: record[part].tobytes() for image_id, record in records.items()}

    def ranking(self, code, *, keep=lambda _: True):
        """Return (distance, image_id) of all images that a condition keeps, in order."""
        rows = self.application.catalog.list_images(after_id=0, limit=100_000)
        codes = self.codes(8 * len(code))
        return sorted((differing_bits(codes[row.image_id], code), row.image_id) for row in rows if keep(row))


def differing_bits(one, other):
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def hits_of(response):
    return [(hit.distance, hit.image_id) for hit in response.hits]


@contextmanager
def searched(n_images, **settings):
    """Serve a gallery of images 1 to n_images of seeds 0 on."""
    application = new_application(hasher=FakeHasher())
    application.gallery.add(new_images(range(n_images)))
    with served(application, **settings) as address, grpc.insecure_channel(address) as channel:
        yield Searched(application, search_service_pb2_grpc.SearchServiceStub(channel), address)


def error_of(method, request):
    try:
        method(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return read_rpc_error(error)
    raise AssertionError("The call was answered, and should have been refused.")


def named(error):
    """Return code, reason and fields of an error."""
    return error.code.name, error.reason, *error.violations


def end_of(stream):
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    return read_rpc_error(caught.value)


def untimed(answer):
    copied = search_service_pb2.SearchResponse()
    copied.CopyFrom(answer)
    copied.ClearField("timings_ms")
    return copied


def at(moment):
    time = Timestamp()
    time.FromDatetime(moment)
    return time


NOON, LATER = at(noon()), at(noon() + dt.timedelta(seconds=1))

# Filters by name, each with the condition that a plain loop keeps images by.
FILTERS = {
    "all": ({"labels_any": ["every 1"]}, lambda _: True),
    "half": ({"labels_all": ["every 1", "every 2"]}, lambda row: "every 2" in row.labels),
    "a tenth": ({"labels_any": ["every 10", "nobody"]}, lambda row: "every 10" in row.labels),
    "a hundredth": ({"labels_all": ["every 100"]}, lambda row: "every 100" in row.labels),
    "none": ({"labels_none": ["every 1"]}, lambda _: False),
    "attribute": (
        {"attributes": {"camera": filter_pb2.AttributeValues(values=["c1", "c2"])}},
        lambda row: row.attributes.get("camera") in {"c1", "c2"},
    ),
    "score": (
        {"scores": {"valence": filter_pb2.ScoreRange(minimum=10, maximum=20)}},
        lambda row: 10 <= row.scores.get("valence", -1) <= 20,
    ),
    "score or missing": (
        {"scores": {"valence": filter_pb2.ScoreRange(minimum=45)}, "keep_missing": True},
        lambda row: row.scores.get("valence", 99) >= 45,
    ),
    "time": ({"created_from": NOON, "created_before": LATER}, lambda _: True),
    "a nanosecond later": (
        {"created_from": Timestamp(seconds=NOON.seconds, nanos=1)},
        lambda _: False,
    ),
    "a nanosecond before": (
        {"created_before": Timestamp(seconds=NOON.seconds, nanos=1)},
        lambda _: True,
    ),
}

"""A served gallery whose rebuilds a test holds back, and the calls on its generations.

In: settings. Out: a `Place` with the application behind it.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import grpc
from google.longrunning import operations_pb2
from polyhash.v1 import index_service_pb2, search_service_pb2

from hashing.index_records import RecordIndex
from service.application import Application
from service.records import ModelKind
from service.rpc.calls import Stubs
from service.rpc.server import Server
from service.usecases.rebuild import Rebuilder
from tests.contracts.fakes import FakeHasher, MemoryGenerations, MemoryWorkers, new_application
from tests.service.search_stack import TIMEOUT_S, new_images

N = 20
OTHER = "other-hasher@111111111111"
pb = index_service_pb2


class OtherHasher(FakeHasher):
    """Gives inverted codes."""

    identity = OTHER

    def encode(self, embeddings):
        return ~super().encode(embeddings)


class GatedWorkers(MemoryWorkers):
    """Builds a generation once the gate is open."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.gate, self.asked = threading.Event(), threading.Event()
        self.gate.set()
        self.pool = ThreadPoolExecutor(1)

    def build_generation(self, number, *, hasher):
        self.asked.set()
        return self.pool.submit(self._build, number, hasher)

    def _build(self, number, hasher):
        assert self.gate.wait(TIMEOUT_S)
        return super().build_generation(number, hasher=hasher).result()


@dataclass
class Place:
    """A served gallery whose rebuilds the test holds back."""

    application: Application
    generations: MemoryGenerations
    workers: GatedWorkers
    server: Server
    stubs: Stubs

    def rebuild(self, **arguments):
        return self.stubs.index.RebuildIndex(pb.RebuildIndexRequest(**arguments), timeout=TIMEOUT_S)

    def held_rebuild(self):
        self.workers.gate.clear()
        operation = self.rebuild()
        assert self.workers.asked.wait(TIMEOUT_S)
        return operation

    def wait(self, operation):
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        return self.stubs.operations.WaitOperation(request, timeout=TIMEOUT_S)

    def rebuilt(self, **arguments):
        """Rebuild to the end and return the number of the generation."""
        result = pb.RebuildResult()
        assert self.wait(self.rebuild(**arguments)).response.Unpack(result)
        return result.generation

    def activate(self, number):
        request = pb.ActivateGenerationRequest(number=number)
        return self.stubs.index.ActivateGeneration(request, timeout=TIMEOUT_S).generation

    def listed(self):
        listed = self.stubs.index.ListGenerations(pb.ListGenerationsRequest(), timeout=TIMEOUT_S)
        return [(one.number, pb.GenerationState.Name(one.state)[17:]) for one in listed.generations]

    def stats(self):
        return self.stubs.index.GetIndexStats(pb.GetIndexStatsRequest(), timeout=TIMEOUT_S)

    def search(self):
        request = search_service_pb2.SearchRequest(image_id=1)
        return self.stubs.search.Search(request, timeout=TIMEOUT_S)


@contextmanager
def placed(settings=None):
    plain = new_application(hasher=FakeHasher())
    catalog, generations = plain.catalog, MemoryGenerations()
    for hasher in (FakeHasher(), OtherHasher()):
        catalog.register_model(hasher.identity, ModelKind.HASHER, path="", metadata={})
    catalog.activate_model(FakeHasher.identity)
    workers = GatedWorkers(catalog, generations, [FakeHasher(), OtherHasher()])
    rebuilder = Rebuilder(
        plain.gallery,
        generations,
        workers,
        find_hasher=workers.hashers.__getitem__,
        find_backbone=workers.backbones.__getitem__,
        index_factory=RecordIndex,
    )
    application = replace(plain, rebuilder=rebuilder)
    application.gallery.add(new_images(range(N)))
    server = Server(application, settings)
    port = server.start("127.0.0.1:0")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Place(application, generations, workers, server, Stubs(channel))
    finally:
        workers.gate.set()
        server.stop(grace_s=2.0)
        workers.pool.shutdown()

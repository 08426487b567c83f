"""The calls of IndexService and of google.longrunning.Operations as values.

In: plain arguments. Out: `Call`s, which either kind of client makes.
"""

from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from polyhash.v1 import index_service_pb2

from service.rpc import index_results
from service.rpc.calls import Call


def stats() -> Call[index_results.Stats]:
    """Return the call of IndexService.GetIndexStats."""
    request = index_service_pb2.GetIndexStatsRequest()
    return Call(lambda stubs: stubs.index.GetIndexStats, request, index_results.read_stats)


def rebuild(*, hasher: str, backbone: str, note: str) -> Call[index_results.Operation]:
    """Return the call of IndexService.RebuildIndex; with a backbone or hasher, images are embedded or encoded by it."""
    kind = index_service_pb2.REBUILD_KIND_ENCODE if hasher else index_service_pb2.REBUILD_KIND_INDEX
    request = index_service_pb2.RebuildIndexRequest(
        kind=index_service_pb2.REBUILD_KIND_EXTRACT if backbone else kind,
        hasher=hasher,
        note=note,
        backbone=backbone,
    )
    return Call(lambda stubs: stubs.index.RebuildIndex, request, index_results.read_operation)


def verify() -> Call[index_results.Operation]:
    """Return the call of IndexService.VerifyIndex."""
    request = index_service_pb2.VerifyIndexRequest()
    return Call(lambda stubs: stubs.index.VerifyIndex, request, index_results.read_operation)


def generations() -> Call[list[index_results.Generation]]:
    """Return the call of IndexService.ListGenerations."""
    request = index_service_pb2.ListGenerationsRequest()
    return Call(
        lambda stubs: stubs.index.ListGenerations,
        request,
        lambda listed: [index_results.read_generation(generation) for generation in listed.generations],
    )


def activate(number: int) -> Call[index_results.Generation]:
    """Return the call of IndexService.ActivateGeneration."""
    request = index_service_pb2.ActivateGenerationRequest(number=number)
    return Call(
        lambda stubs: stubs.index.ActivateGeneration,
        request,
        lambda activated: index_results.read_generation(activated.generation),
    )


def prune(keep: int) -> Call[list[int]]:
    """Return the call of IndexService.PruneGenerations."""
    request = index_service_pb2.PruneGenerationsRequest(keep=keep)
    return Call(
        lambda stubs: stubs.index.PruneGenerations, request, lambda pruned: list(pruned.deleted_numbers)
    )


def wait_operation(name: str, *, timeout_s: float) -> Call[index_results.Operation]:
    """Return the call of Operations.WaitOperation."""
    timeout = Duration()
    timeout.FromMilliseconds(max(0, int(1000 * timeout_s)))
    request = operations_pb2.WaitOperationRequest(name=name, timeout=timeout)
    return Call(lambda stubs: stubs.operations.WaitOperation, request, index_results.read_operation)


def cancel_operation(name: str) -> Call[None]:
    """Return the call of Operations.CancelOperation."""
    request = operations_pb2.CancelOperationRequest(name=name)
    return Call(lambda stubs: stubs.operations.CancelOperation, request, lambda _: None)

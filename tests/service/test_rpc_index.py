"""IndexService over a real connection: rebuilds and checks as operations, generations, and what excludes what."""

import threading
from dataclasses import replace

import grpc
import pytest
from google.longrunning import operations_pb2
from polyhash.v1 import index_service_pb2, search_service_pb2

from service.rpc.api_error import read_status
from service.rpc.calls import Stubs
from service.rpc.server import Server
from service.rpc.settings import ServerSettings
from service.usecases.verify import Verification
from tests.contracts.fakes import FakeHasher, MemoryGenerations, new_application
from tests.service.index_stack import OTHER, N, Place, placed
from tests.service.search_stack import TIMEOUT_S, error_of, named

pb = index_service_pb2
ENCODE, EXTRACT = pb.REBUILD_KIND_ENCODE, pb.REBUILD_KIND_EXTRACT


@pytest.fixture
def place():
    with placed() as place:
        yield place


def metadata_of(operation):
    metadata = pb.RebuildMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata


def test_a_rebuild_is_an_operation_that_ends_with_the_generation_in_use(place):
    started = place.held_rebuild()
    assert not started.done
    assert (metadata_of(started).kind, metadata_of(started).note) == (pb.REBUILD_KIND_INDEX, "")
    assert place.search().generation == 0
    place.workers.gate.set()
    result = pb.RebuildResult()
    assert place.wait(started).response.Unpack(result)
    assert (result.generation, result.image_count, result.sequence) == (1, N, N)
    assert result.hasher == FakeHasher.identity
    assert place.search().generation == 1
    assert place.listed() == [(1, "ACTIVE")]


def test_a_rebuild_with_another_hasher_goes_over_to_its_codes_and_back_by_activation(place):
    before = place.search()
    first = place.rebuilt(note="why")
    second = place.rebuilt(kind=ENCODE, hasher=OTHER)
    assert place.search().hasher == OTHER
    assert place.search().code == bytes(byte ^ 255 for byte in before.code)
    assert place.listed() == [(first, "READY"), (second, "ACTIVE")]
    activated = place.activate(first)
    assert (activated.number, activated.note, activated.image_count) == (first, "why", N)
    assert activated.state == pb.GENERATION_STATE_ACTIVE
    assert activated.HasField("create_time")
    assert place.search().code == before.code
    assert place.listed() == [(first, "ACTIVE"), (second, "READY")]


def test_a_page_token_of_another_hasher_says_to_begin_again(place):
    request = search_service_pb2.SearchRequest(image_id=1, page_size=3)
    request.page_token = place.stubs.search.Search(request, timeout=TIMEOUT_S).next_page_token
    place.rebuilt()
    assert place.stubs.search.Search(request, timeout=TIMEOUT_S).hits
    place.rebuilt(kind=ENCODE, hasher=OTHER)
    error = error_of(place.stubs.search.Search, request)
    assert named(error) == ("ABORTED", "PAGE_MODEL_CHANGED", "page_token")


@pytest.mark.parametrize(
    ("arguments", "code", "reason", "field"),
    [
        ({"kind": 9}, "INVALID_ARGUMENT", "KIND_UNKNOWN", "kind"),
        ({"kind": ENCODE}, "INVALID_ARGUMENT", "HASHER_AND_KIND", "hasher"),
        ({"hasher": OTHER}, "INVALID_ARGUMENT", "HASHER_AND_KIND", "hasher"),
        ({"kind": ENCODE, "hasher": "nobody@0"}, "NOT_FOUND", "MODEL_NOT_FOUND", "hasher"),
        ({"kind": ENCODE, "hasher": "x" * 1025}, "INVALID_ARGUMENT", "TEXT_LENGTH", "hasher"),
        ({"note": "x" * 1025}, "INVALID_ARGUMENT", "TEXT_LENGTH", "note"),
        ({"kind": EXTRACT}, "INVALID_ARGUMENT", "BACKBONE_AND_KIND", "backbone"),
        ({"backbone": "descriptor"}, "INVALID_ARGUMENT", "BACKBONE_AND_KIND", "backbone"),
        ({"kind": EXTRACT, "backbone": "x" * 1025}, "INVALID_ARGUMENT", "TEXT_LENGTH", "backbone"),
        ({"kind": EXTRACT, "backbone": "x", "hasher": "nobody@0"}, "NOT_FOUND", "MODEL_NOT_FOUND", "hasher"),
    ],
)
def test_rebuilds_that_cannot_be_are_refused_before_they_start(place, arguments, code, reason, field):
    error = error_of(place.stubs.index.RebuildIndex, pb.RebuildIndexRequest(**arguments))
    assert named(error) == (code, reason, field)
    assert place.application.operations.list() == []


def test_while_a_rebuild_runs_nothing_else_changes_the_generations(place):
    place.rebuilt()
    running = place.held_rebuild()
    for method, request in [
        (place.stubs.index.RebuildIndex, pb.RebuildIndexRequest()),
        (place.stubs.index.ActivateGeneration, pb.ActivateGenerationRequest(number=1)),
        (place.stubs.index.PruneGenerations, pb.PruneGenerationsRequest(keep=1)),
    ]:
        error = error_of(method, request)
        assert named(error) == ("ABORTED", "OPERATION_RUNNING")
        assert error.metadata == {"operation": running.name}
    place.workers.gate.set()
    assert place.wait(running).done
    assert place.activate(1).number == 1


def test_a_cancelled_rebuild_leaves_everything_as_it_was(place):
    running = place.held_rebuild()
    request = operations_pb2.CancelOperationRequest(name=running.name)
    place.stubs.operations.CancelOperation(request, timeout=TIMEOUT_S)
    error = read_status(place.wait(running).error)
    assert (error.code.name, error.reason) == ("CANCELLED", "CANCELLED")
    assert place.listed() == []


def test_a_stopping_server_ends_its_operations(place):
    running = place.held_rebuild()
    place.server.stop(grace_s=2.0)
    assert place.application.operations.get(running.name).error.reason == "CANCELLED"


def test_a_generation_that_is_not_there_or_damaged_is_not_activated(place):
    place.rebuilt()
    place.rebuilt()
    place.generations.damaged.add(1)
    activate = place.stubs.index.ActivateGeneration
    assert named(error_of(activate, pb.ActivateGenerationRequest())) == (
        "INVALID_ARGUMENT",
        "NUMBER_OUT_OF_RANGE",
        "number",
    )
    assert named(error_of(activate, pb.ActivateGenerationRequest(number=9))) == (
        "NOT_FOUND",
        "GENERATION_NOT_FOUND",
        "number",
    )
    assert error_of(activate, pb.ActivateGenerationRequest(number=1)).code.name == "DATA_LOSS"
    assert place.listed() == [(1, "QUARANTINED"), (2, "ACTIVE")]
    assert named(error_of(activate, pb.ActivateGenerationRequest(number=1))) == (
        "FAILED_PRECONDITION",
        "GENERATION_QUARANTINED",
        "number",
    )
    assert place.search().generation == 2


def test_an_activation_that_takes_longer_than_its_call_goes_on():
    with placed(ServerSettings(max_call_s=0.3)) as place:
        place.application.rebuilder.rebuild(report=lambda *_: None)
        read, entered, go = place.generations.read, threading.Event(), threading.Event()

        def slow_read(number, *, manifest_sha256):
            entered.set()
            assert go.wait(TIMEOUT_S)
            return read(number, manifest_sha256=manifest_sha256)

        place.generations.read = slow_read
        error = error_of(place.stubs.index.ActivateGeneration, pb.ActivateGenerationRequest(number=1))
        assert named(error) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        (operation,) = place.application.operations.list()
        assert not operation.done
        go.set()
        assert place.application.operations.wait(operation.name, float(TIMEOUT_S)).error is None


def test_pruning_keeps_the_newest_and_the_one_in_use(place):
    numbers = [place.rebuilt() for _ in range(3)]
    place.activate(numbers[0])
    prune = place.stubs.index.PruneGenerations
    assert named(error_of(prune, pb.PruneGenerationsRequest())) == (
        "INVALID_ARGUMENT",
        "NUMBER_OUT_OF_RANGE",
        "keep",
    )
    pruned = prune(pb.PruneGenerationsRequest(keep=1), timeout=TIMEOUT_S)
    assert list(pruned.deleted_numbers) == [numbers[1]]
    assert place.listed() == [(numbers[0], "ACTIVE"), (numbers[2], "READY")]
    (last,) = place.application.operations.list()[-1:]
    operation = place.wait(last)
    assert metadata_of(operation).note == "deletes all but 1 generations"
    assert operation.response.Is(pb.RebuildResult.DESCRIPTOR)


def test_stats_tell_the_generation_and_what_came_since(place):
    stats = place.stats()
    assert (stats.generation, stats.tombstone_count, stats.delta_count) == (0, 0, 0)
    place.rebuilt()
    place.application.gallery.delete(3)
    place.application.gallery.update(4, labels=["new"])
    stats = place.stats()
    assert (stats.generation, stats.tombstone_count, stats.delta_count) == (1, 1, 2)
    assert (stats.image_count, stats.indexed_image_count, stats.sequence) == (N - 1, N - 1, N + 2)
    place.rebuilt()
    stats = place.stats()
    assert (stats.generation, stats.tombstone_count, stats.delta_count) == (2, 0, 0)


def verified(place):
    operation = place.stubs.index.VerifyIndex(pb.VerifyIndexRequest(), timeout=TIMEOUT_S)
    assert operation.metadata.Is(pb.VerifyMetadata.DESCRIPTOR)
    result = pb.VerifyResult()
    assert place.wait(operation).response.Unpack(result)
    return result


def test_a_sound_gallery_is_found_sound(place):
    result = verified(place)
    assert (result.sound, list(result.findings), result.finding_count) == (True, [], 0)
    assert result.checked["images"] == N


def test_findings_come_damage_first_and_a_thousand_at_most():
    found = Verification()
    for number in range(1001):
        found.add(f"tidy {number}", "is untidy", damage=False)
    found.add("generation 3", "is cut off")
    plain = new_application(hasher=FakeHasher())
    server = Server(replace(plain, verify=lambda _: found))
    port = server.start("127.0.0.1:0")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            result = verified(Place(plain, MemoryGenerations(), None, server, Stubs(channel)))
    finally:
        server.stop(grace_s=2.0)
    assert not result.sound
    assert (len(result.findings), result.finding_count) == (1000, 1002)
    first, second = result.findings[:2]
    assert (first.subject, first.problem, first.damage) == ("generation 3", "is cut off", True)
    assert (second.subject, second.damage) == ("tidy 0", False)


def test_a_rebuild_without_hasher_says_how_to_get_one():
    server = Server(new_application(hasher=None))
    port = server.start("127.0.0.1:0")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            error = error_of(Stubs(channel).index.RebuildIndex, pb.RebuildIndexRequest())
    finally:
        server.stop(grace_s=2.0)
    assert named(error) == ("FAILED_PRECONDITION", "NO_HASHER")


def test_one_wait_too_many_is_refused_while_calls_are_answered():
    with placed(ServerSettings(max_waits=1)) as place:
        running = place.held_rebuild()
        request = operations_pb2.WaitOperationRequest(name=running.name)
        first, second = (
            place.stubs.operations.WaitOperation.future(request, timeout=TIMEOUT_S) for _ in range(2)
        )
        ended = threading.Event()
        for call in (first, second):
            call.add_done_callback(lambda _: ended.set())
        assert ended.wait(TIMEOUT_S)
        refused = next(call for call in (first, second) if call.done())
        assert refused.exception().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert place.search().hits
        place.workers.gate.set()
        answered = first if refused is second else second
        assert answered.result().done

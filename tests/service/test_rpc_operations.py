"""google.longrunning.Operations over a real connection, before work that the tests steer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.duration_pb2 import Duration
from polyhash.v1 import index_service_pb2

from service.errors import DataLossError
from service.rpc.api_error import read_rpc_error, read_status
from service.rpc.interceptors import GuardInterceptor
from service.rpc.operations_servicer import (
    OperationForm,
    OperationsServicer,
    write_operation,
    write_progress,
)
from service.rpc.settings import ServerSettings
from service.usecases.operations import OperationHandle, Operations

TIMEOUT_S = 20.0
MAX_CALL_S = 5.0


def write_rebuild_metadata(operation):
    return index_service_pb2.RebuildMetadata(
        note=operation.metadata.get("note", ""), progress=write_progress(operation)
    )


def write_rebuild_result(result):
    return index_service_pb2.RebuildResult(generation=result["generation"])


FORMS = {kind: OperationForm(write_rebuild_metadata, write_rebuild_result) for kind in ("rebuild", "verify")}


class Rebuild:
    """Work that reports, then waits for the test, seeing a cancellation meanwhile."""

    def __init__(self) -> None:
        self.reported, self.go = threading.Event(), threading.Event()

    def __call__(self, handle: OperationHandle) -> dict[str, int]:
        handle.report("encode", 3, 10)
        self.reported.set()
        while not self.go.wait(0.005):
            handle.check_cancelled()
        return {"generation": 7}


def finish(handle):
    del handle
    return {"generation": 1}


def fail(handle):
    del handle
    raise DataLossError("codes.npy is cut off.", file="codes.npy")


@pytest.fixture
def operations():
    operations = Operations()
    yield operations
    operations.close()


@pytest.fixture
def stub(operations):
    settings = ServerSettings(max_call_s=MAX_CALL_S)
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=[GuardInterceptor(settings)])
        operations_pb2_grpc.add_OperationsServicer_to_server(
            OperationsServicer(operations, FORMS, settings), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield operations_pb2_grpc.OperationsStub(channel)
        server.stop(None).wait()


def get(stub, name):
    return stub.GetOperation(operations_pb2.GetOperationRequest(name=name), timeout=TIMEOUT_S)


def wait(stub, name, **options):
    return stub.WaitOperation(operations_pb2.WaitOperationRequest(name=name, **options), timeout=TIMEOUT_S)


def metadata_of(operation):
    metadata = index_service_pb2.RebuildMetadata()
    assert operation.metadata.Unpack(metadata)
    return metadata


def error_of(method, request):
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=TIMEOUT_S)
    return read_rpc_error(caught.value)


def test_a_running_operation_tells_its_progress(stub, operations):
    work = Rebuild()
    name = operations.start("rebuild", work, {"note": "why"}).name
    assert work.reported.wait(TIMEOUT_S)
    seen = get(stub, name)
    assert (seen.name, seen.done, seen.WhichOneof("result")) == (name, False, None)
    metadata = metadata_of(seen)
    assert metadata.note == "why"
    progress = metadata.progress
    assert (progress.stage, progress.done, progress.total) == ("encode", 3, 10)
    assert progress.HasField("start_time")
    assert not progress.HasField("eta_s")
    assert not progress.HasField("end_time")
    work.go.set()


def test_waiting_returns_the_response_of_one_that_succeeds(stub, operations):
    work = Rebuild()
    name = operations.start("rebuild", work).name
    threading.Timer(0.05, work.go.set).start()
    ended = wait(stub, name)
    result = index_service_pb2.RebuildResult()
    assert ended.done
    assert ended.response.Unpack(result)
    assert result.generation == 7
    assert metadata_of(ended).progress.HasField("end_time")


def test_a_failed_operation_carries_the_status_that_a_call_would_have(stub, operations):
    name = operations.start("verify", fail).name
    ended = wait(stub, name)
    error = read_status(ended.error)
    assert ended.done
    assert (error.code, error.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")
    assert (error.message, error.metadata) == ("codes.npy is cut off.", {"file": "codes.npy"})


def test_a_cancelled_operation_ends_with_the_code_cancelled(stub, operations):
    name = operations.start("rebuild", Rebuild()).name
    stub.CancelOperation(operations_pb2.CancelOperationRequest(name=name), timeout=TIMEOUT_S)
    ended = wait(stub, name)
    error = read_status(ended.error)
    assert (error.code, error.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED")
    assert metadata_of(ended).progress.cancel_requested


@pytest.mark.parametrize("nanos", [0, 1_000_000])
def test_waiting_ends_with_its_timeout(stub, operations, nanos):
    name = operations.start("rebuild", Rebuild()).name
    assert not wait(stub, name, timeout=Duration(nanos=nanos)).done


def test_waiting_ends_before_the_deadline_of_the_call(stub, operations):
    name = operations.start("rebuild", Rebuild()).name
    request = operations_pb2.WaitOperationRequest(name=name, timeout=Duration(seconds=10**9))
    assert not stub.WaitOperation(request, timeout=1.0).done


def test_a_negative_timeout_is_refused(stub, operations):
    name = operations.start("rebuild", Rebuild()).name
    request = operations_pb2.WaitOperationRequest(name=name, timeout=Duration(seconds=-1))
    error = error_of(stub.WaitOperation, request)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TIMEOUT_OUT_OF_RANGE")
    assert error.violations == {"timeout": "timeout must be 0 s or more, got -1 s."}


def test_operations_are_listed_page_by_page_in_the_order_of_starting(stub, operations):
    started = [operations.wait(operations.start("verify", finish).name, TIMEOUT_S).name for _ in range(4)]
    pages, token = [], ""
    while True:
        request = operations_pb2.ListOperationsRequest(name="operations", page_size=2, page_token=token)
        response = stub.ListOperations(request, timeout=TIMEOUT_S)
        pages.append([operation.name for operation in response.operations])
        token = response.next_page_token
        if not token:
            break
    assert pages == [started[:2], started[2:]]


def test_no_operations_are_one_empty_page(stub):
    response = stub.ListOperations(operations_pb2.ListOperationsRequest(), timeout=TIMEOUT_S)
    assert response == operations_pb2.ListOperationsResponse()


@pytest.mark.parametrize(
    ("arguments", "reason", "message"),
    [
        (
            {"name": "operations/x"},
            "COLLECTION_UNKNOWN",
            "name must be 'operations' or empty, got 'operations/x'",
        ),
        ({"filter": "done=true"}, "FILTER_UNSUPPORTED", "filter is not supported. Leave it out"),
        ({"page_size": -1}, "PAGE_SIZE_OUT_OF_RANGE", "page_size must be 0"),
        ({"page_token": "x"}, "PAGE_TOKEN_INVALID", "page_token is not one that this method returned"),
    ],
)
def test_a_list_that_cannot_be_made_is_refused(stub, arguments, reason, message):
    error = error_of(stub.ListOperations, operations_pb2.ListOperationsRequest(**arguments))
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert error.violations.keys() == arguments.keys()
    assert message in error.message


def test_an_ended_operation_is_forgotten_on_request_and_a_running_one_not(stub, operations):
    work = Rebuild()
    name = operations.start("rebuild", work).name
    request = operations_pb2.DeleteOperationRequest(name=name)
    error = error_of(stub.DeleteOperation, request)
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OPERATION_RUNNING")
    work.go.set()
    assert wait(stub, name).done
    stub.DeleteOperation(request, timeout=TIMEOUT_S)
    error = error_of(stub.GetOperation, operations_pb2.GetOperationRequest(name=name))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND")


@pytest.mark.parametrize("method", ["Get", "Delete", "Cancel", "Wait"])
def test_unknown_names_are_not_found(stub, method):
    request = getattr(operations_pb2, f"{method}OperationRequest")(name="operations/none-1")
    error = error_of(getattr(stub, f"{method}Operation"), request)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "OPERATION_NOT_FOUND")
    assert error.violations.keys() == {"name"}


def test_a_response_carries_the_operation_that_was_just_started(operations):
    work = Rebuild()
    message = write_operation(operations.start("rebuild", work), FORMS)
    assert (message.name, message.done) == ("operations/rebuild-1", False)
    assert metadata_of(message).progress.stage == ""

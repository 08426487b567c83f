"""The table of codes and the details of a status."""

import inspect

import grpc
import pytest
from google.rpc import error_details_pb2

from service import errors
from service.rpc.api_error import read_status
from service.rpc.status import DeadlineExceededError, status_code, to_status
from service.usecases.operations import OperationCancelledError

CODES = {
    errors.PolyhashError: "INTERNAL",
    errors.InvalidArgumentError: "INVALID_ARGUMENT",
    errors.ImageError: "INVALID_ARGUMENT",
    errors.UnreadableImageError: "INVALID_ARGUMENT",
    errors.ImageTooLargeError: "INVALID_ARGUMENT",
    errors.NotFoundError: "NOT_FOUND",
    errors.ConflictError: "ABORTED",
    errors.NearDuplicateError: "ABORTED",
    errors.PreconditionError: "FAILED_PRECONDITION",
    errors.StoreFormatError: "FAILED_PRECONDITION",
    errors.StoreHeldError: "FAILED_PRECONDITION",
    errors.ModelMismatchError: "FAILED_PRECONDITION",
    errors.ResourceExhaustedError: "RESOURCE_EXHAUSTED",
    errors.UnavailableError: "UNAVAILABLE",
    errors.DataLossError: "DATA_LOSS",
    DeadlineExceededError: "DEADLINE_EXCEEDED",
    OperationCancelledError: "CANCELLED",
}


@pytest.mark.parametrize("kind", CODES)
def test_every_error_class_has_its_code(kind):
    assert status_code(kind("x")).name == CODES[kind]


def test_the_table_above_leaves_out_no_error_of_the_service():
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}
    assert {kind for kind in kinds if issubclass(kind, errors.PolyhashError)} <= set(CODES)


def test_status_carries_reason_domain_metadata_and_violation():
    error = errors.InvalidArgumentError("k must be from 1, got 0.", reason="K_OUT_OF_RANGE", field="k", k=0)
    info, bad_request = to_status(error).details
    unpacked = error_details_pb2.ErrorInfo()
    assert info.Unpack(unpacked)
    assert (unpacked.reason, unpacked.domain, dict(unpacked.metadata)) == (
        "K_OUT_OF_RANGE",
        "polyhash",
        {"k": "0"},
    )
    violations = error_details_pb2.BadRequest()
    assert bad_request.Unpack(violations)
    assert [(v.field, v.description) for v in violations.field_violations] == [
        ("k", "k must be from 1, got 0.")
    ]


def test_exhausted_resources_say_when_to_try_again():
    read = read_status(to_status(errors.ResourceExhaustedError("full", reason="FULL")))
    assert (read.code, read.reason, read.retry_after_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "FULL", 1)
    assert read_status(to_status(errors.NotFoundError("gone"))).retry_after_s is None


def test_long_and_undecodable_texts_are_cut_to_what_trailers_carry():
    name = "é" * 5000 + "\udcff"
    status = to_status(errors.UnreadableImageError(f"{name} is bad.", field="content", name=name))
    assert status.message.endswith("é…")
    assert status.ByteSize() < 2600
    assert "\\udcff" in to_status(errors.NotFoundError("\udcff")).message

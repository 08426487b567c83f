"""Reading ahead: order, errors and an early end."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import NotFoundError
from service.records import SourceImage
from service.usecases.reading import Rejected, ahead, in_chunks, read_content


@given(items=st.lists(st.integers(), max_size=20), size=st.integers(1, 7), depth=st.integers(1, 4))
def test_chunks_read_ahead_are_the_items_in_order(items, size, depth):
    chunks = list(ahead(in_chunks(items, size), depth=depth))
    assert [item for chunk in chunks for item in chunk] == items
    assert all(len(chunk) == size for chunk in chunks[:-1])


def test_items_are_made_while_the_consumer_is_busy():
    made = threading.Semaphore(0)

    def items():
        for number in range(3):
            made.release()
            yield number

    entries = ahead(items(), depth=2)
    assert next(entries) == 0
    assert all(made.acquire(timeout=5) for _ in range(3))  # the others were made without being asked for
    assert list(entries) == [1, 2]


def test_an_error_of_the_items_comes_after_the_items_before_it():
    def items():
        yield 1
        raise NotFoundError("The set is gone.")

    entries = ahead(items())
    assert next(entries) == 1
    with pytest.raises(NotFoundError, match="The set is gone"):
        next(entries)


def test_closing_stops_the_reading_thread():
    before = set(threading.enumerate())
    entries = ahead(iter(int, 1), depth=1)  # without an end
    next(entries)
    (reader,) = set(threading.enumerate()) - before
    entries.close()
    reader.join(timeout=5)
    assert not reader.is_alive()


def test_an_image_that_cannot_be_read_is_named_with_the_reason():
    def refuse():
        raise PermissionError(13, "Permission denied")

    rejected = read_content(SourceImage(name="a/b.jpg", read=refuse))
    assert isinstance(rejected, Rejected)
    assert rejected.name == "a/b.jpg"
    assert rejected.error.message == "a/b.jpg cannot be read: Permission denied."


def test_a_refusal_with_its_own_reason_keeps_it():
    error = NotFoundError("The picture is gone.")

    def refuse():
        raise error

    assert read_content(SourceImage(name="a", read=refuse)) == Rejected(name="a", error=error)
    assert read_content(SourceImage(name="a", read=lambda: b"bytes")) == b"bytes"

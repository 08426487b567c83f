"""The waiting room of a stream."""

import threading

import pytest

from service.rpc.inbox import Inbox
from service.rpc.status import DeadlineExceededError


def test_take_returns_what_has_arrived_in_order_up_to_the_maximum():
    inbox = Inbox[int](max_bytes=100)
    for item in range(5):
        assert inbox.put(item, 1)
    assert inbox.take(3, idle_s=1.0) == [0, 1, 2]
    assert inbox.take(3, idle_s=1.0) == [3, 4]


def test_put_waits_for_room_and_one_item_larger_than_the_room_still_passes():
    inbox = Inbox[str](max_bytes=10)
    assert inbox.put("larger", 50)
    second = threading.Thread(target=inbox.put, args=("next", 1))
    second.start()
    second.join(timeout=0.1)
    assert second.is_alive()
    assert inbox.take(9, idle_s=1.0) == ["larger"]
    second.join(timeout=5)
    assert inbox.take(9, idle_s=1.0) == ["next"]


def test_end_lets_out_what_is_there_then_nothing():
    inbox = Inbox[int](max_bytes=10)
    inbox.put(1, 1)
    inbox.end()
    assert not inbox.put(2, 1)
    assert inbox.take(9, idle_s=1.0) == [1]
    assert inbox.take(9, idle_s=1.0) == []


def test_end_with_an_error_raises_it_after_what_is_there():
    inbox = Inbox[int](max_bytes=10)
    inbox.put(1, 1)
    inbox.end(ValueError("first"))
    inbox.end(ValueError("second"))
    assert inbox.take(9, idle_s=1.0) == [1]
    with pytest.raises(ValueError, match="first"):
        inbox.take(9, idle_s=1.0)


def test_end_frees_a_waiting_put():
    inbox = Inbox[int](max_bytes=1)
    inbox.put(1, 1)
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(inbox.put(2, 1)))
    waiting.start()
    inbox.end()
    waiting.join(timeout=5)
    assert taken == [False]


def test_take_gives_up_on_a_silent_client():
    with pytest.raises(DeadlineExceededError, match=r"No request arrived for 0\.01 s"):
        Inbox[int](max_bytes=10).take(1, idle_s=0.01)

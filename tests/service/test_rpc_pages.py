"""Page sizes, and tokens of lists and of searches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidArgumentError
from service.rpc import pages
from service.rpc.pages import check_page_size, read_cursor, read_page_token, write_cursor, write_page_token
from service.usecases.queries import Cursor


@pytest.mark.parametrize(("asked", "given_size"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000)])
def test_page_size_has_a_default_and_is_coerced_down(asked, given_size):
    assert check_page_size(asked) == given_size


def test_negative_page_size_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"page_size must be 0 \(for 100\) or more, got -1\."):
        check_page_size(-1)


@given(st.integers(min_value=0, max_value=2**63 - 1), st.text())
def test_token_gives_back_the_id_under_the_same_arguments(last_id, arguments):
    assert read_page_token(write_page_token(last_id, arguments=arguments), arguments=arguments) == last_id


def test_empty_token_is_the_first_page():
    assert read_page_token("", arguments="anything") == 0


@pytest.mark.parametrize("token", ["x", "Zm9v", "é", write_page_token(7, arguments="dog"), "A" * 5000])
def test_foreign_tokens_are_refused(token):
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this method returned"):
        read_page_token(token, arguments="cat")


CURSOR = Cursor(distance=3, image_id=7, sequence=9, hasher="joint@0123456789ab")
NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)


@given(st.integers(min_value=0, max_value=1024), NUMBERS, NUMBERS, st.text(), st.binary())
def test_a_cursor_comes_back_under_the_same_arguments(distance, image_id, sequence, hasher, arguments):
    cursor = Cursor(
        distance=distance,
        image_id=image_id,
        sequence=sequence,
        hasher=hasher.encode(errors="ignore").decode(),
    )
    assert read_cursor(write_cursor(cursor, arguments=arguments), arguments=arguments) == cursor


def test_the_empty_token_of_a_search_is_the_first_page():
    assert read_cursor("", arguments=b"anything") is None


@pytest.mark.parametrize(
    "token",
    ["x", "A" * 5000, write_cursor(CURSOR, arguments=b"dog"), write_page_token(7, arguments="cat")],
)
def test_foreign_cursors_are_refused(token):
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this method returned"):
        read_cursor(token, arguments=b"cat")


def test_no_token_of_a_search_is_one_of_a_list():
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this method returned"):
        read_page_token(write_cursor(CURSOR, arguments=b"cat"), arguments="cat")


@given(st.data())
def test_a_token_with_one_character_changed_is_refused(data):
    token = write_cursor(CURSOR, arguments=b"cat")
    place = data.draw(st.integers(0, len(token.rstrip("=")) - 2))  # of the last, some bits say nothing
    other = data.draw(st.sampled_from("Ab3-_é").filter(lambda character: character != token[place]))
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this method returned"):
        read_cursor(token[:place] + other + token[place + 1 :], arguments=b"cat")


@pytest.mark.parametrize("position", [b"", b"x", bytes(20) + b"\xff"])
def test_forged_positions_are_refused(position):
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this method returned"):
        read_cursor(pages._seal(position, b"searchcat"), arguments=b"cat")
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this method returned"):
        read_page_token(pages._seal(position, b"listcat"), arguments="cat")

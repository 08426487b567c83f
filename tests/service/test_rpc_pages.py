"""Page sizes and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidArgumentError
from service.rpc.pages import check_page_size, read_page_token, write_page_token


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
    with pytest.raises(InvalidArgumentError, match="page_token is not one that this list returned"):
        read_page_token(token, arguments="cat")

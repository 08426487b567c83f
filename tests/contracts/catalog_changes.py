"""What any `Catalog` must do with changes: updates, the log of changes, and the columns that follow them.

In: a fixture `catalog`, empty, given by a subclass of `CatalogChangesContract` in a test module. Out: tests. Adding and
deleting are left to `tests.contracts.catalog`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidArgumentError, NotFoundError
from service.ports import Catalog
from service.records import Change, ChangeKind, ImageRow
from tests.contracts.catalog import add, new_image


def columns_of(catalog: Catalog, **options: Any) -> list[tuple[object, ...]]:  # noqa: ANN401 - passed on
    """Return what `columns` says per image, labels sorted: their order is open."""
    return [
        (image_id, created_us, sorted(labels), dict(attributes), dict(scores))
        for part in catalog.columns(**options)
        for image_id, created_us, labels, attributes, scores in zip(
            part.image_ids.tolist(),
            part.created_us.tolist(),
            part.labels,
            part.attributes,
            part.scores,
            strict=True,
        )
    ]


def columns_of_row(row: ImageRow) -> tuple[object, ...]:
    """Return the same of a whole row."""
    microseconds = round(row.created_at.timestamp() * 1_000_000)
    return (row.image_id, microseconds, sorted(row.labels), dict(row.attributes), dict(row.scores))


class CatalogChangesContract:
    """Subclasses give a fixture `catalog`."""

    def test_an_update_replaces_what_is_given_and_nothing_else(self, catalog):
        first, other = add(catalog, [new_image(seed, labels=("sea", "beach")) for seed in (1, 2)])
        before = catalog.get_images([first, other])
        expected = before[first]
        for given in (
            {"labels": ("dog", "sea", "dog")},
            {"attributes": {"place": "Ålesund"}},
            {"scores": {"anger": 0.25}},
            {"labels": (), "attributes": {}, "scores": {}},
            {},
        ):
            last = catalog.counts().last_sequence
            assert catalog.update_image(first, **given) == last + 1 == catalog.counts().last_sequence
            expected = replace(expected, **given)
            expected = replace(expected, labels=tuple(dict.fromkeys(expected.labels)))
            assert catalog.get_images([first, other]) == {first: expected, other: before[other]}
        assert dict(catalog.counts().labels) == {"beach": 1, "sea": 1}
        assert catalog.list_images(after_id=0, limit=9, label="dog") == []

    def test_an_update_of_what_is_not_there_or_not_finite_changes_nothing(self, catalog):
        (image_id,) = add(catalog, [new_image(1)])
        before = catalog.get_images([image_id])
        with pytest.raises(NotFoundError, match="No image 77 in the catalog") as caught:
            catalog.update_image(77, labels=("a",))
        assert caught.value.reason == "IMAGE_NOT_FOUND"
        with pytest.raises(InvalidArgumentError, match=f'Score "joy" of image {image_id} is nan') as caught:
            catalog.update_image(image_id, labels=("a",), scores={"joy": np.nan})
        assert caught.value.reason == "SCORE_NOT_FINITE"
        assert catalog.get_images([image_id]) == before
        assert catalog.counts().last_sequence == 1

    def test_changes_come_in_order_and_in_pages(self, catalog):
        first, second = add(catalog, [new_image(1), new_image(2)])
        catalog.update_image(first, labels=("a",))
        catalog.delete_image(second)
        expected = [
            Change(sequence=1, kind=ChangeKind.ADD, image_id=first),
            Change(sequence=2, kind=ChangeKind.ADD, image_id=second),
            Change(sequence=3, kind=ChangeKind.UPDATE, image_id=first),
            Change(sequence=4, kind=ChangeKind.DELETE, image_id=second),
        ]
        assert catalog.changes(after=0) == expected
        assert catalog.changes(after=1, limit=2) == expected[1:3]
        assert catalog.changes(after=4) == []

    @pytest.mark.parametrize("chunk", [1, 3, 100])
    def test_columns_say_what_the_rows_say(self, catalog, chunk):
        image_ids = add(catalog, [new_image(s, labels=("z", "a", "ü")[: s % 4]) for s in range(9)])
        catalog.delete_image(image_ids.pop(4))
        catalog.update_image(image_ids[2], attributes={}, scores={"anger": 1e-300})
        expected = [columns_of_row(row) for row in catalog.get_images(image_ids).values()]
        assert [len(part.image_ids) for part in catalog.columns(chunk=3)] == [3, 3, 2]
        assert columns_of(catalog, chunk=chunk) == sorted(expected)
        some = [image_ids[5], 10**6, image_ids[0], image_ids[5]]
        assert columns_of(catalog, chunk=chunk, image_ids=some) == [
            columns_of_row(row) for row in catalog.get_images(sorted(some)).values()
        ]
        assert columns_of(catalog, image_ids=[]) == columns_of(catalog, image_ids=[10**6]) == []

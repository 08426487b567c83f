"""Learning: the training set is what the catalog holds, in order and with a digest that tells it apart."""

import numpy as np
import pytest

from service.errors import PreconditionError
from service.usecases.learn import read_training_set
from tests.contracts.catalog import BACKBONE, new_image
from tests.contracts.memory_catalog import MemoryCatalog


def catalog_of(*images):
    catalog = MemoryCatalog()
    catalog.add_images(images, backbone=BACKBONE, hasher=None)
    return catalog


def labelled(seed, *labels, **more):
    return new_image(seed, labels=labels, coded=False, **more)


def test_the_training_set_is_every_embedding_with_its_labels_in_order_of_ids():
    images = [labelled(3, "a"), labelled(1), labelled(2, "b", "c")]
    training = read_training_set(catalog_of(*images), backbone=BACKBONE)
    assert training.labels == [("a",), (), ("b", "c")]
    assert training.embeddings.dtype == np.float32
    np.testing.assert_array_equal(
        training.embeddings, np.stack([image.embedding.astype(np.float16) for image in images])
    )


def test_embeddings_of_another_backbone_are_left_out():
    catalog = catalog_of(labelled(1), labelled(2))
    catalog.add_images([labelled(3)], backbone="other@0123456789ab", hasher=None)
    assert len(read_training_set(catalog, backbone=BACKBONE).labels) == 2


def test_the_digest_tells_training_sets_apart():
    one, two = labelled(1, "a"), labelled(2, "b")
    digests = [
        read_training_set(catalog, backbone=BACKBONE).digest
        for catalog in (
            catalog_of(one, two),
            catalog_of(two, one),
            catalog_of(one, labelled(2, "c")),
            catalog_of(one, labelled(2, "b", embedding=np.zeros(5, dtype=np.float32))),
            catalog_of(one, two, labelled(3)),
        )
    ]
    assert len(set(digests)) == len(digests)
    assert read_training_set(catalog_of(one, two), backbone=BACKBONE).digest == digests[0]
    assert len(bytes.fromhex(digests[0])) == 32


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count):
    catalog = catalog_of(*[labelled(seed) for seed in range(count)])
    with pytest.raises(
        PreconditionError, match=f"at least 2 images .* the store has {count}. Index images"
    ) as caught:
        read_training_set(catalog, backbone=BACKBONE)
    assert caught.value.reason == "TOO_FEW_IMAGES"

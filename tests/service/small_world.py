"""A gallery in memory beside plain records of what should be in it, for tests that compare searches with the definition.

In: records and what images are labelled with. Out: answers of the gallery, and what they should be made of.
"""

from itertools import count

import numpy as np

from service.usecases.queries import CodeQuery, SearchRequest
from service.usecases.query_encoder import QueryEncoder
from service.usecases.search import Searcher
from service.vision.images import decode_image
from tests.contracts.echoes import RECORD_BYTES, EchoHasher, echo_image, random_records
from tests.contracts.fakes import new_gallery

SELECTIVITIES = {"100": 1.0, "50": 0.5, "10": 0.1, "1": 0.01, "0.1": 0.001}
PART = {16: slice(0, 2), 32: slice(2, 6)}
CODES = [bytes(RECORD_BYTES), bytes([255] * RECORD_BYTES), random_records(1, seed=9)[0]]


class World:
    """A gallery and what should be in it: records, labels and scores by image id."""

    def __init__(self, *, hasher=None) -> None:
        self.gallery = new_gallery(hasher=hasher or EchoHasher())
        self.searcher = Searcher(self.gallery, QueryEncoder(decode=decode_image))
        self.images = {}
        self._names = count()

    def add(self, records, **more):
        images = [echo_image(record, name=str(next(self._names)), **more) for record in records]
        acknowledged = self.gallery.add(images)
        self.images |= {ack.image_id: image for ack, image in zip(acknowledged, images, strict=True)}
        return [ack.image_id for ack in acknowledged]

    def delete(self, image_id):
        self.gallery.delete(image_id)
        del self.images[image_id]

    def records(self, among=None):
        """Return records by image id, of those images for which `among` is true."""
        return {
            image_id: image.embedding[:RECORD_BYTES].astype(np.uint8).tobytes()
            for image_id, image in self.images.items()
            if among is None or among(image)
        }

    def ask(self, code, **more):
        return self.searcher.search(SearchRequest(query=CodeQuery(code=code), full=False, **more))


def pairs(answer):
    return [(hit.distance, hit.image_id) for hit in answer.hits]


def labelled_world(n):
    """Return a world of images with labels by percentage, a fifth with a score, and every seventh deleted."""
    world = World()
    records = random_records(n)
    images = [
        echo_image(
            record,
            name=str(number),
            labels=tuple(percent for percent in SELECTIVITIES if meets(number, percent)),
            attributes={"camera": "A7"} if number % 3 else {},
            scores={"joy": number / n} if number % 5 == 0 else {},
        )
        for number, record in enumerate(records)
    ]
    acknowledged = world.gallery.add(images)
    world.images = {ack.image_id: image for ack, image in zip(acknowledged, images, strict=True)}
    for image_id in list(world.images)[3::7]:
        world.delete(image_id)
    return world


def meets(number, percent):
    """Return whether the image of this number is among so many percent, spread over all."""
    return number % round(1 / SELECTIVITIES[percent]) == 0

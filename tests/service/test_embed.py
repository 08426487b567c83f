"""Embedding a set: values, order, refusals, and going on after an interruption."""

import numpy as np
import pytest

from service.errors import UnreadableImageError
from service.records import DecodedImage, Features, Preprocessing, SourceImage
from service.usecases.embed import KEEP_EVERY, embed_set, shared_images
from service.vision.embedding_cache import EmbeddingCache

SIDE = 4


class MeanColour:
    """A backbone whose embedding is the mean colour; counts its work and can be interrupted."""

    identity = "mean-colour@0123456789ab"
    dim = 3
    stride = SIDE
    preprocessing = Preprocessing(resize_px=SIDE, crop_px=SIDE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def __init__(self, *, interrupt_after=None) -> None:
        self.extracted = 0
        self._interrupt_after = interrupt_after

    def prepare(self, image):
        return image

    def extract(self, prepared):
        if self._interrupt_after is not None and self.extracted >= self._interrupt_after:
            raise KeyboardInterrupt
        self.extracted += len(prepared)
        maps = np.moveaxis(prepared.astype(np.float32), 3, 1)
        return Features(embeddings=maps.mean(axis=(2, 3)) / 7, feature_maps=maps)


def decode(content):
    if not content.isdigit():
        raise UnreadableImageError(f"Not a number: {content!r}.")
    pixels = np.random.default_rng(int(content)).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    return DecodedImage(pixels=pixels, width=SIDE, height=SIDE, format="NUMBER")


def image(content, *, labels=()):
    return SourceImage(name=f"{content}.jpg", read=content.encode, labels=labels)


def images(count):
    return [image(str(number), labels=(f"label {number % 3}",)) for number in range(count)]


def expected_embedding(content):
    pixels = decode(content.encode()).pixels
    mean = [sum(float(v) for v in pixels[:, :, channel].ravel()) / SIDE**2 / 7 for channel in range(3)]
    return np.array(mean, dtype=np.float32).astype(np.float16).astype(np.float32)


def test_every_image_gets_its_own_embedding_in_the_order_of_the_set():
    embedded = embed_set(images(70), MeanColour(), decode=decode)
    assert embedded.names == [f"{number}.jpg" for number in range(70)]
    assert embedded.labels == [(f"label {number % 3}",) for number in range(70)]
    assert embedded.embeddings.dtype == np.float32
    for number in range(70):
        np.testing.assert_allclose(embedded.embeddings[number], expected_embedding(str(number)), rtol=1e-3)


def test_refused_images_are_named_and_the_others_go_on():
    def gone():
        raise OSError(5, "Input/output error")

    mixed = [image("1"), image("text"), SourceImage(name="gone.jpg", read=gone), image("2")]
    progress = []
    embedded = embed_set(mixed, MeanColour(), decode=decode, on_progress=progress.append)
    assert embedded.names == ["1.jpg", "2.jpg"]
    assert [(r.name, r.error.message) for r in embedded.rejected] == [
        ("text.jpg", "Not a number: b'text'."),
        ("gone.jpg", "gone.jpg cannot be read: Input/output error."),
    ]
    assert progress == [4]


def test_an_empty_set_has_no_rows():
    embedded = embed_set([], MeanColour(), decode=decode)
    assert embedded.embeddings.shape == (0, 3)
    assert embedded.names == embedded.rejected == []


def test_progress_counts_every_image():
    progress = []
    embed_set(images(70), MeanColour(), decode=decode, on_progress=progress.append)
    assert progress == [32, 64, 70]


def test_equal_bytes_are_embedded_once_and_counted_as_shared():
    backbone = MeanColour()
    one = embed_set([image("1"), image("1"), image("2")], backbone, decode=decode)
    other = embed_set([image("2"), image("2"), image("3")], MeanColour(), decode=decode)
    assert backbone.extracted == 2
    np.testing.assert_array_equal(one.embeddings[0], one.embeddings[1])
    assert shared_images(one, other) == 1


def cache(folder):
    return EmbeddingCache(folder, backbone_identity=MeanColour.identity, dim=MeanColour.dim)


def test_a_second_run_computes_nothing_and_gives_the_same(tmp_path):
    first = embed_set(images(70), MeanColour(), decode=decode, memory=cache(tmp_path))
    again = MeanColour()
    second = embed_set(images(80), again, decode=decode, memory=cache(tmp_path))
    assert again.extracted == 10
    np.testing.assert_array_equal(second.embeddings[:70], first.embeddings)
    plain = embed_set(images(80), MeanColour(), decode=decode)
    np.testing.assert_array_equal(second.embeddings, plain.embeddings)


def test_after_an_interruption_the_run_goes_on_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embed_set(images(200), MeanColour(interrupt_after=96), decode=decode, memory=cache(tmp_path))
    rest = MeanColour()
    resumed = embed_set(images(200), rest, decode=decode, memory=cache(tmp_path))
    assert rest.extracted == 200 - 96
    plain = embed_set(images(200), MeanColour(), decode=decode)
    np.testing.assert_array_equal(resumed.embeddings, plain.embeddings)


def test_a_long_run_keeps_its_work_on_the_way():
    kept = []

    class Memory:
        def find(self, digests):
            assert all(len(digest) == 32 for digest in digests)
            return {}

        def add(self, digests, embeddings):
            kept.append((len(digests), embeddings.shape))

    embed_set(images(KEEP_EVERY + 40), MeanColour(), decode=decode, memory=Memory())
    assert kept == [(KEEP_EVERY, (KEEP_EVERY, 3)), (40, (40, 3))]


def test_a_damaged_cache_file_is_computed_again(tmp_path):
    first = embed_set(images(40), MeanColour(), decode=decode, memory=cache(tmp_path))
    (part,) = (path for path in tmp_path.rglob("*.part"))
    content = bytearray(part.read_bytes())
    content[-1] ^= 0xFF
    part.write_bytes(content)
    again = MeanColour()
    second = embed_set(images(40), again, decode=decode, memory=cache(tmp_path))
    assert again.extracted == 40
    np.testing.assert_array_equal(second.embeddings, first.embeddings)

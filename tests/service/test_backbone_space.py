"""A backbone as a space of pictures: the embeddings that a store would hold, under a name that says whose they are."""

import numpy as np

from gan_aug.feature_space import FeatureSpace, embed
from service.vision.descriptor import DescriptorBackbone
from service.vision.feature_space import BackboneSpace


def test_a_space_gives_the_embeddings_of_its_backbone_and_names_it():
    backbone = DescriptorBackbone()
    space = BackboneSpace(backbone)
    assert isinstance(space, FeatureSpace)
    assert space.name == f"{backbone.identity} embeddings at 128 px"
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    one_by_one = [backbone.extract(backbone.prepare(image)[None]).embeddings[0] for image in images]
    assert (embed(images, space) == np.stack(one_by_one)).all()

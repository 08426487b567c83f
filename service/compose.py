"""The one place where the objects of the service are built and joined.

In: paths and settings. Out: an `Application` over one store, and servers, sheets and models made from it. Everything
else receives what it needs from here.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hashing.hasher_file import FittedHasher, load_hasher, save_hasher
from hashing.index_build import build_index
from hashing.joint import JointHasher
from service.application import Application
from service.errors import ModelMismatchError
from service.ports import Backbone, Catalog, ModelKind
from service.storage.store import Store
from service.usecases.gallery import Gallery
from service.usecases.ingest import CopyPolicy, Ingestor
from service.usecases.learn import encode_catalog, read_training_set
from service.usecases.pictures import Pictures
from service.usecases.search import Searcher
from service.vision.backbones import DEFAULT_BACKBONE, load_backbone
from service.vision.datasets import ImageSet, open_image_set
from service.vision.images import decode_image, thumbnail_jpeg
from service.vision.sources import read_source

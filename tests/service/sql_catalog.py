"""Open SQL catalogs for tests, their clock standing at noon.

In: a path. Out: a catalog, closed afterwards. What it must do is said in tests/contracts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.storage import migrations
from service.storage.catalog import SqlCatalog
from service.storage.database import open_database
from tests.contracts.memory_models import noon


@contextmanager
def opened(path: Path) -> Iterator[SqlCatalog]:
    """Open the catalog at this path, made if it is missing."""
    engine = open_database(f"sqlite:///{path}")
    if not path.exists():
        migrations.upgrade(engine)
    catalog = SqlCatalog(engine, clock=noon)
    try:
        yield catalog
    finally:
        catalog.close()

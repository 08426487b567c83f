"""The catalog's tables.

In: nothing. Out: SQLAlchemy table definitions, the one description that the migrations and the catalog agree on.
Embeddings are float16 little-endian, codes are packed bytes; both are opaque blobs to SQL.
"""

import datetime as dt
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# A column of type INTEGER is SQLite's own row number, which needs no index beside it.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[dt.datetime]):
    """Aware UTC datetimes, also on databases that keep no time zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Drop the zone after converting to UTC."""
        del dialect
        return value.astimezone(dt.UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Put the zone back."""
        del dialect
        return value.replace(tzinfo=dt.UTC) if value else None


class Base(DeclarativeBase):
    """Common metadata; named constraints let migrations alter them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Image(Base):
    """One image. Its id is the number of the change that added it: ascending, and never reused after a deletion."""

    __tablename__ = "images"

    image_id: Mapped[int] = mapped_column(
        RowNumber, ForeignKey("ops.seq"), primary_key=True, autoincrement=False
    )
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    name: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    stored: Mapped[bool] = mapped_column(Boolean)
    byte_size: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    format: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class ImageLabel(Base):
    """One class name of one image; `position` keeps the order they were given in."""

    __tablename__ = "image_labels"
    __table_args__ = (Index("ix_image_labels_label", "label", "image_id"),)  # pages of a label in id order

    image_id: Mapped[int] = mapped_column(ForeignKey("images.image_id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int]


class ImageAttribute(Base):
    """One further fact about one image."""

    __tablename__ = "image_attributes"

    image_id: Mapped[int] = mapped_column(ForeignKey("images.image_id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class ImageScore(Base):
    """One named number about one image; finite."""

    __tablename__ = "image_scores"
    __table_args__ = (
        {"sqlite_with_rowid": False},
    )  # rows lie in the primary key: half the size of key and table

    image_id: Mapped[int] = mapped_column(ForeignKey("images.image_id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[float] = mapped_column(Double)


class Embedding(Base):
    """The embedding of one image by one backbone: float16, little-endian."""

    __tablename__ = "embeddings"

    backbone: Mapped[str] = mapped_column(Text, primary_key=True)
    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.image_id", ondelete="CASCADE"), primary_key=True, index=True
    )
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class CodeRecord(Base):
    """The codes of all lengths of one image by one hasher."""

    __tablename__ = "code_records"

    hasher: Mapped[str] = mapped_column(Text, primary_key=True)
    image_id: Mapped[int] = mapped_column(
        ForeignKey("images.image_id", ondelete="CASCADE"), primary_key=True, index=True
    )
    record: Mapped[bytes] = mapped_column(LargeBinary)


class Model(Base):
    """One model with its provenance; `number` keeps the order of registration."""

    __tablename__ = "models"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    identity: Mapped[str] = mapped_column(Text, unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    path: Mapped[str] = mapped_column(Text)
    provenance: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)
    active: Mapped[bool] = mapped_column(Boolean)


class Generation(Base):
    """One generation of index files that were complete when this row was written."""

    __tablename__ = "generations"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    hasher: Mapped[str] = mapped_column(Text)
    built_to: Mapped[int] = mapped_column(BigInteger)
    images: Mapped[int] = mapped_column(BigInteger)
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)


class Op(Base):
    """One change, append-only and numbered without gaps; its number is the sequence that acknowledgements carry."""

    __tablename__ = "ops"

    seq: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    image_id: Mapped[int] = mapped_column(BigInteger)  # no foreign key: outlives the image
    created_at: Mapped[dt.datetime] = mapped_column(UtcDateTime)

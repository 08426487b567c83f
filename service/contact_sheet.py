"""Contact sheets: one self-contained HTML page that shows queries and what was found for them.

In: pictures as JPEG bytes with names, labels and distances. Out: HTML text with inline style and data: URIs, no scripts.
It leaves searching, thumbnails and writing the file to others.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from service.contact_sheet_style import STYLE

_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "\u2421"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetPicture:
    """One picture on a sheet.

    Attributes:
        name: File name or path; any characters.
        jpeg: Thumbnail, or None when the original cannot be shown.
        missing: Why there is no thumbnail.
        image_id: Its id in the gallery, or None for a picture from outside.
        labels: Class names; empty when unlabelled.
    """

    name: str
    jpeg: bytes | None
    missing: str = ""
    image_id: int | None = None
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetHit:
    """One found picture: its rank from 1 and its Hamming distance to the query in bits."""

    picture: SheetPicture
    rank: int
    distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSheet:
    """One query and its hits.

    Attributes:
        query: The picture searched with, or None when a bare code was.
        hits: In the order they were found.
        bits: Length of the compared codes.
        facts: Further lines about this search, shown as name and value.
        heading: What stands above the query.
    """

    query: SheetPicture | None
    hits: Sequence[SheetHit]
    bits: int
    facts: Mapping[str, str]
    heading: str = "Query"


def contact_sheet_html(
    query: SheetPicture | None,
    hits: Sequence[SheetHit],
    *,
    bits: int,
    title: str,
    facts: Mapping[str, str],
) -> str:
    """Return the page of one query."""
    sheet = ContactSheet(query=query, hits=hits, bits=bits, facts={})
    return contact_sheets_html([sheet], title=title, facts=facts)


def contact_sheets_html(sheets: Sequence[ContactSheet], *, title: str, facts: Mapping[str, str]) -> str:
    """Return one page of several queries, one below the other.

    Args:
        sheets: The queries with their hits.
        title: Headline of the page.
        facts: What holds for the whole page (gallery, model, time), shown under the headline.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # the page may load nothing at all, whatever a file name smuggles in
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{_text(title)}</h1>{_facts(facts)}</header>\n"
        f"<main>\n{''.join(map(_sheet, sheets))}</main>\n</body>\n</html>\n"
    )


def _sheet(sheet: ContactSheet) -> str:
    wanted = frozenset(sheet.query.labels) if sheet.query else frozenset()
    tiles = "".join(_hit(hit, bits=sheet.bits, wanted=wanted) for hit in sheet.hits)
    found = f'<ol class="hits">{tiles}</ol>' if sheet.hits else '<p class="none">Nothing was found.</p>'
    return f'<section class="sheet">\n{_query(sheet, wanted)}\n{found}\n</section>\n'


def _query(sheet: ContactSheet, wanted: frozenset[str]) -> str:
    if sheet.query is None:
        shown = '<div class="frame"><p class="gone"><b>Code</b>searched without a picture</p></div>'
    else:
        shown = _frame(sheet.query) + _caption(sheet.query, wanted)
    facts = dict(sheet.facts)
    if wanted:
        agreeing = sum(not wanted.isdisjoint(hit.picture.labels) for hit in sheet.hits)
        facts["same label"] = f"{agreeing} of {len(sheet.hits)}"
    return f'<aside class="query"><h2>{_text(sheet.heading)}</h2>{shown}{_facts(facts)}</aside>'


def _hit(hit: SheetHit, *, bits: int, wanted: frozenset[str]) -> str:
    agrees = not wanted.isdisjoint(hit.picture.labels)
    share = 100 * hit.distance / bits
    return (
        f'<li class="hit{" agrees" if agrees else ""}">{_frame(hit.picture)}'
        f'<p class="distance"><span class="rank">{hit.rank}</span>'
        f'<span class="bar"><i style="width:{share:.1f}%"></i></span>'
        f"<span><b>{hit.distance}</b> / {bits} bits</span></p>{_caption(hit.picture, wanted)}</li>\n"
    )


def _frame(picture: SheetPicture) -> str:
    if picture.jpeg is None:
        reason = _text(picture.missing or "no reason given")
        return f'<div class="frame"><p class="gone"><b>Picture not available</b>{reason}</p></div>'
    data = base64.b64encode(picture.jpeg).decode("ascii")
    return (
        f'<div class="frame"><img src="data:image/jpeg;base64,{data}" alt="{_text(_alt(picture))}" '
        'loading="lazy" decoding="async"></div>'
    )


def _alt(picture: SheetPicture) -> str:
    return ", ".join(picture.labels) or _file_name(picture.name)


def _caption(picture: SheetPicture, wanted: frozenset[str]) -> str:
    chips = "".join(
        f'<li class="same" title="the query has this label too">{_text(label)}</li>'
        if label in wanted
        else f"<li>{_text(label)}</li>"
        for label in picture.labels
    )
    labels = f'<ul class="labels">{chips}</ul>' if chips else ""
    number = "" if picture.image_id is None else f'<span class="id">#{picture.image_id}</span>'
    name = f'<bdi title="{_text(picture.name)}">{_text(_file_name(picture.name))}</bdi>'
    return f'{labels}<p class="name">{number}{name}</p>'


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def _file_name(name: str) -> str:
    return name.rpartition("/")[2] or name


def _text(value: str) -> str:
    """Return text safe anywhere in the page; control characters and undecodable bytes of names become visible."""
    visible = value.translate(_CONTROL_PICTURES)
    return escape(visible.encode("utf-8", "backslashreplace").decode("utf-8"))

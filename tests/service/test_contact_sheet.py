"""Contact sheets: what a reader of the page finds on it, whatever the names hold."""

import base64
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contact_sheet import (
    ContactSheet,
    SheetHit,
    SheetPicture,
    contact_sheet_html,
    contact_sheets_html,
)

JPEG = b"\xff\xd8\xff\xe0 stands for a picture"
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """What a browser would see: tags in balance, attributes, and the text by class of its element."""

    def __init__(self, html) -> None:
        super().__init__()
        self.tags = Counter()
        self.attributes = []
        self.texts = []
        self._open = []
        self.feed(html)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if data.strip() and self._open[-1][0] != "style":
            self.texts.append((self._open[-1], data))

    def text_of(self, tag, css_class=""):
        return [text for element, text in self.texts if element == (tag, css_class)]

    def values(self, tag, name):
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


def picture(name="beach.jpg", *, labels=(), jpeg=JPEG, image_id=None, missing=""):
    return SheetPicture(name=name, jpeg=jpeg, labels=labels, image_id=image_id, missing=missing)


def hit(rank, distance, **fields):
    return SheetHit(picture=picture(**fields), rank=rank, distance=distance)


def page(query, hits, *, bits=64, title="Found", facts=None):
    return Page(contact_sheet_html(query, hits, bits=bits, title=title, facts=facts or {}))


def test_a_hit_shows_rank_distance_bar_id_name_and_labels():
    shown = page(None, [hit(3, 16, name="trips/2019/dune.jpg", labels=("desert",), image_id=41)])
    assert shown.text_of("span", "rank") == ["3"]
    assert shown.text_of("b") == ["Code", "16"]
    assert shown.text_of("span") == [" / 64 bits"]
    assert shown.values("i", "style") == ["width:25.0%"]
    assert shown.text_of("span", "id") == ["#41"]
    assert shown.text_of("bdi") == ["dune.jpg"]
    assert shown.values("bdi", "title") == ["trips/2019/dune.jpg"]
    assert shown.text_of("li") == ["desert"]


def test_pictures_are_embedded_and_the_page_may_load_nothing_else():
    html = contact_sheet_html(picture(), [hit(1, 0)], bits=64, title="t", facts={})
    shown = Page(html)
    assert [
        base64.b64decode(src.removeprefix("data:image/jpeg;base64,")) for src in shown.values("img", "src")
    ] == [
        JPEG,
        JPEG,
    ]
    assert shown.tags["script"] == shown.tags["link"] == 0
    assert shown.values("a", "href") == []
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in shown.values("meta", "content")


def test_labels_shared_with_the_query_are_marked_and_counted():
    hits = [
        hit(1, 0, labels=("sea", "sun")),
        hit(2, 4, labels=("city",)),
        hit(3, 9, labels=("sun",)),
        hit(4, 9),
    ]
    shown = page(picture(labels=("sun", "sand")), hits)
    assert shown.text_of("li", "same") == ["sun", "sand", "sun", "sun"]  # the query's own two come first
    assert shown.text_of("li") == ["sea", "city"]
    assert shown.values("li", "class").count("hit agrees") == 2
    assert shown.text_of("dd") == ["2 of 4"]


def test_nothing_agrees_with_an_unlabelled_query():
    shown = page(picture(), [hit(1, 0, labels=("sun",)), hit(2, 3)])
    assert "hit agrees" not in shown.values("li", "class")
    assert shown.text_of("dd") == []


def test_a_missing_original_leaves_a_tile_with_the_reason():
    shown = page(picture(), [hit(1, 2, jpeg=None, missing="/a/b.jpg has changed.")])
    assert shown.tags["img"] == 1  # the query's
    assert shown.text_of("b")[0] == "Picture not available"
    assert shown.text_of("p", "gone") == ["/a/b.jpg has changed."]
    assert shown.text_of("span", "rank") == ["1"]


def test_an_empty_answer_says_so():
    assert page(picture(), []).text_of("p", "none") == ["Nothing was found."]


def test_title_and_facts_head_the_page():
    shown = page(None, [], title="Like beach.jpg", facts={"images": "1,000", "model": "jmh@1"})
    assert shown.text_of("h1") == shown.text_of("title") == ["Like beach.jpg"]
    assert list(zip(shown.text_of("dt"), shown.text_of("dd"), strict=True)) == [
        ("images", "1,000"),
        ("model", "jmh@1"),
    ]


def test_several_queries_stand_on_one_page_in_order():
    sheets = [
        ContactSheet(query=picture(name), hits=[hit(1, bits // 8)], bits=bits, facts={"code": f"{bits} bits"})
        for name, bits in [("a.jpg", 16), ("b.jpg", 128)]
    ]
    shown = Page(contact_sheets_html(sheets, title="Demo", facts={}))
    assert shown.tags["section"] == 2
    assert shown.text_of("bdi") == ["a.jpg", "beach.jpg", "b.jpg", "beach.jpg"]
    assert shown.text_of("dd") == ["16 bits", "128 bits"]
    assert shown.values("i", "style") == ["width:12.5%"] * 2


@pytest.mark.parametrize(
    ("name", "shown_as"),
    [
        ("<script>alert(1)<b>.jpg", "<script>alert(1)<b>.jpg"),
        ("\"><img src=x onerror='y'>", "\"><img src=x onerror='y'>"),
        ("画像 &amp; ünï.jpg", "画像 &amp; ünï.jpg"),
        ("line\nbreak\x00.jpg", "line␊break␀.jpg"),
        ("latin\udce9.jpg", "latin\\udce9.jpg"),
        ("folder/", "folder/"),
        ("x" * 4000, "x" * 4000),
    ],
)
def test_hostile_and_strange_names_are_text_and_nothing_else(name, shown_as):
    hits = [hit(1, 0, name=name, labels=(name,)), hit(2, 0, jpeg=None, missing=name, labels=("x",))]
    html = contact_sheet_html(picture("x", labels=("x",)), hits, bits=8, title=name, facts={name: name})
    html.encode("utf-8")
    shown = Page(html)
    assert shown.text_of("bdi")[1] == shown_as
    texts = [shown.text_of("h1"), shown.text_of("dt")[:1], shown.text_of("dd")[:1], shown.text_of("li")]
    assert texts == [[shown_as]] * 4
    assert shown.text_of("p", "gone") == [shown_as]
    assert shown.tags["img"] == 2
    assert shown.tags["script"] == 0


nasty = st.text(st.sampled_from("<>&\"'a/!-=;\n\x00\udc80"), max_size=12)


@given(texts=st.lists(nasty | st.text(max_size=12), min_size=5, max_size=5))
def test_no_text_can_change_the_structure_of_the_page(texts):
    title, name, label, fact, missing = texts

    def tags(*values):
        title, name, label, fact, missing = values
        hits = [hit(1, 1, name=name, labels=(label,), jpeg=None, missing=missing), hit(2, 2, name=name)]
        return page(picture(name, labels=(label,)), hits, title=title, facts={fact: fact}).tags

    assert tags(title, name, label, fact, missing) == tags("t", "n", "l", "f", "m")

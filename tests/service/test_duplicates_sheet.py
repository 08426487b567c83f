"""The sheet of near duplicates: what a reader finds on it, and what it says it left out."""

import re
from html import unescape

import numpy as np

from service.contact_sheet import SheetPicture
from service.duplicates_sheet import duplicates_sheet_html
from service.usecases.duplicates import DuplicateCluster

JPEG = b"\xff\xd8\xff\xe0 stands for a picture"


def cluster(*members):
    """A cluster of (image id, distance to the first)."""
    image_ids, distances = zip(*members, strict=True)
    return DuplicateCluster(image_ids=np.array(image_ids), distances=np.array(distances, dtype=np.int32))


class Pictures:
    """Pictures by id, and which ids were asked for."""

    def __init__(self, **fields) -> None:
        self.fields = {"name": "trips/{}.jpg", "jpeg": JPEG} | fields
        self.asked = []

    def __call__(self, image_id) -> SheetPicture:
        self.asked.append(image_id)
        fields = self.fields | {"name": self.fields["name"].format(image_id)}
        return SheetPicture(image_id=image_id, **fields)


def page(clusters, pictures=None, **options):
    options = {"bits": 64, "radius": 4, "title": "Duplicates", "facts": {}} | options
    return duplicates_sheet_html(clusters, picture_of=pictures or Pictures(), **options)


def texts(html, pattern):
    return [unescape(re.sub("<[^>]*>", "", found)) for found in re.findall(pattern, html)]


def facts(html):
    return re.findall("<dt>([^<]*)</dt><dd>([^<]*)</dd>", html)


TWO = [cluster((3, 0), (5, 4), (8, 6)), cluster((4, 0), (9, 1))]


def test_a_cluster_is_a_section_with_ids_names_and_distances():
    html = page(TWO)
    assert html.count("<section") == 2
    assert texts(html, "<h2>(.*?)</h2>") == ["Cluster 1 of 2", "Cluster 2 of 2"]
    assert texts(html, '<span class="id">(.*?)</span>') == ["#3", "#5", "#8", "#4", "#9"]
    assert texts(html, "<bdi.*?</bdi>") == ["3.jpg", "5.jpg", "8.jpg", "4.jpg", "9.jpg"]
    assert texts(html, "<span><b>.*?</span>") == ["4 / 64 bits", "6 / 64 bits", "1 / 64 bits"]
    assert texts(html, '<span class="rank">(.*?)</span>') == ["2", "3", "2"]
    assert html.count("<img src=") == 5
    assert facts(html)[-4:] == [
        ("images", "3"),
        ("farthest from this one", "6 bits"),
        ("images", "2"),
        ("farthest from this one", "1 bits"),
    ]


def test_the_head_counts_clusters_and_images_after_the_given_facts():
    assert facts(page(TWO, facts={"store": "a store"}))[:4] == [
        ("store", "a store"),
        ("near duplicates", "within 4 of 64 bits, directly or through others"),
        ("clusters", "2"),
        ("images in clusters", "5"),
    ]


def test_what_is_left_out_is_said_and_not_asked_for():
    pictures = Pictures()
    html = page(TWO, pictures, max_clusters=1, max_pictures=2)
    assert pictures.asked == [3, 5]
    assert [value for name, value in facts(html) if name == "not shown"] == [
        "1 cluster with 2 images",
        "1 image",
    ]
    assert texts(html, "<h2>(.*?)</h2>") == ["Cluster 1 of 2"]
    many = [cluster(*((image_id, 0) for image_id in range(2000)))] * 3
    assert [value for name, value in facts(page(many, max_clusters=1)) if name == "not shown"] == [
        "2 clusters with 4,000 images",
        "1,976 images",
    ]


def test_nothing_is_said_to_be_left_out_of_a_full_sheet():
    assert "not shown" not in page(TWO, max_clusters=2, max_pictures=3)


def test_a_gallery_without_near_duplicates_says_so():
    html = page([])
    assert "<section" not in html
    assert ("clusters", "none") in facts(html)


def test_names_are_text_and_a_missing_picture_leaves_its_reason():
    hostile = "<script>alert(1)</script>\"'&.jpg"
    html = page(
        TWO, Pictures(name=hostile, jpeg=None, missing=hostile), title=hostile, facts={hostile: hostile}
    )
    assert "<script" not in html
    assert "<img" not in html
    assert texts(html, '<p class="gone">(.*?)</p>') == [f"Picture not available{hostile}"] * 5
    assert texts(html, "<h1>(.*?)</h1>") == [hostile]


def test_the_page_may_load_nothing():
    html = page(TWO)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert "http://" not in html
    assert "https://" not in html

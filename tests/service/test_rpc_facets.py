"""Counts by distance and facets over a real connection, against plain loops, and what is refused."""

import pytest
from polyhash.v1 import facet_pb2, filter_pb2, search_service_pb2

from tests.service.search_stack import FILTERS, LATER, NOON, TIMEOUT_S, error_of, named, searched

N = 300
pb = search_service_pb2


@pytest.fixture(scope="module")
def gallery():
    with searched(N) as gallery:
        yield gallery


@pytest.mark.parametrize("max_distance", [None, 0, 11, 99])
@pytest.mark.parametrize("wanted", ["all", "a tenth", "none"])
def test_matches_are_counted_at_every_distance(gallery, wanted, max_distance):
    conditions, keep = FILTERS[wanted]
    request = pb.CountMatchesRequest(
        query=pb.SearchQuery(image_id=17),
        max_distance=max_distance,
        filter=filter_pb2.ImageFilter(**conditions),
        min_sequence=N,
    )
    answer = gallery.search.CountMatches(request, timeout=TIMEOUT_S)
    distances = [d for d, image_id in gallery.ranking(gallery.code(17, 32), keep=keep) if image_id != 17]
    reach = 32 if max_distance is None else min(32, max_distance)
    assert list(answer.count_by_distance) == [distances.count(d) for d in range(reach + 1)]
    assert answer.total == sum(answer.count_by_distance)
    assert (answer.bits, answer.sequence) == (32, N)


@pytest.mark.parametrize(
    ("query", "arguments", "error"),
    [
        ({}, {}, ("INVALID_ARGUMENT", "QUERY_MISSING", "query")),
        ({"image": b""}, {}, ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "query.image")),
        ({"image": b"words"}, {}, ("INVALID_ARGUMENT", "IMAGE_UNREADABLE", "query.image")),
        ({"image_id": 9999}, {}, ("NOT_FOUND", "IMAGE_NOT_FOUND", "query.image_id")),
        ({"code": b"1"}, {}, ("INVALID_ARGUMENT", "CODE_SIZE", "query.code")),
        ({"image_id": 1}, {"bits": 8}, ("INVALID_ARGUMENT", "BITS_NOT_IN_MODEL", "bits")),
        (
            {"image_id": 1},
            {"max_distance": -1},
            ("INVALID_ARGUMENT", "MAX_DISTANCE_OUT_OF_RANGE", "max_distance"),
        ),
        (
            {"image_id": 1},
            {"min_sequence": N + 1},
            ("FAILED_PRECONDITION", "SEQUENCE_NOT_REACHED", "min_sequence"),
        ),
    ],
)
def test_counts_that_cannot_be_made_are_refused(gallery, query, arguments, error):
    request = pb.CountMatchesRequest(query=pb.SearchQuery(**query), **arguments)
    assert named(error_of(gallery.search.CountMatches, request)) == error


FACETS = [
    facet_pb2.FacetRequest(label=facet_pb2.LabelFacet(limit=2)),
    facet_pb2.FacetRequest(attribute=facet_pb2.AttributeFacet(name="camera")),
    facet_pb2.FacetRequest(score=facet_pb2.ScoreFacet(name="valence", edges=[10, 20, 30])),
    facet_pb2.FacetRequest(created=facet_pb2.CreatedFacet(edges=[NOON, LATER])),
]


def facets_of(gallery, facets=FACETS, **arguments):
    return gallery.search.Facets(pb.FacetsRequest(facets=facets, **arguments), timeout=TIMEOUT_S)


@pytest.mark.parametrize("near", [False, True])
def test_facets_are_the_counts_of_a_plain_loop(gallery, near):
    around = pb.Neighbourhood(query=pb.SearchQuery(image_id=17), k=40)
    wanted = filter_pb2.ImageFilter(labels_any=["every 2"])
    answer = facets_of(gallery, filter=wanted, neighbourhood=around if near else None)
    ranking = gallery.ranking(gallery.code(17, 32), keep=lambda row: "every 2" in row.labels)
    ids = [image_id for _, image_id in ranking if not near or image_id != 17][: 40 if near else None]
    rows = list(gallery.application.catalog.get_images(ids).values())
    labels, cameras, valence, created = answer.facets
    assert answer.image_count == len(rows)
    assert (answer.counts.matched, answer.counts.hidden) == (150, 150)
    assert [(bucket.value, bucket.count) for bucket in labels.buckets] == [
        ("every 1", len(rows)),
        ("every 2", len(rows)),
    ]
    assert labels.distinct == len({label for row in rows for label in row.labels})
    of_camera = [row.attributes.get("camera") for row in rows]
    assert {bucket.value: bucket.count for bucket in cameras.buckets} == {
        name: of_camera.count(name) for name in ("c0", "c1", "c2")
    }
    assert cameras.missing == of_camera.count(None)
    scores = [row.scores["valence"] for row in rows if "valence" in row.scores]
    assert [(b.score.start, b.score.end, b.count) for b in valence.buckets] == [
        (10, 20, sum(10 <= score < 20 for score in scores)),
        (20, 30, sum(20 <= score <= 30 for score in scores)),
    ]
    assert valence.outside == sum(not 10 <= score <= 30 for score in scores)
    assert valence.missing == len(rows) - len(scores)
    (bucket,) = created.buckets
    assert (bucket.created.start, bucket.created.end, bucket.count) == (NOON, LATER, len(rows))


def test_scores_fall_into_ten_equal_ranges_when_not_told(gallery):
    score = facet_pb2.ScoreFacet(name="valence")
    (facet,) = facets_of(gallery, [facet_pb2.FacetRequest(score=score)]).facets
    assert len(facet.buckets) == 10
    assert (facet.buckets[0].score.start, facet.buckets[-1].score.end) == (1, 49)


def label_facet(**arguments):
    return facet_pb2.FacetRequest(label=facet_pb2.LabelFacet(**arguments))


@pytest.mark.parametrize(
    ("facets", "arguments", "error"),
    [
        ([], {}, ("INVALID_ARGUMENT", "COUNT_OUT_OF_RANGE", "facets")),
        (FACETS * 5, {}, ("INVALID_ARGUMENT", "COUNT_OUT_OF_RANGE", "facets")),
        (
            [*FACETS, facet_pb2.FacetRequest()],
            {},
            ("INVALID_ARGUMENT", "FACET_COLUMN_MISSING", "facets[4].column"),
        ),
        ([label_facet(limit=-1)], {}, ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "facets[0].label.limit")),
        (
            [facet_pb2.FacetRequest(attribute=facet_pb2.AttributeFacet())],
            {},
            ("INVALID_ARGUMENT", "TEXT_LENGTH", "facets[0].attribute.name"),
        ),
        (
            [facet_pb2.FacetRequest(score=facet_pb2.ScoreFacet(name="x", edges=[1, 2], bins=3))],
            {},
            ("INVALID_ARGUMENT", "FACET_BINS_AND_EDGES", "facets[0].score.bins"),
        ),
        (
            [facet_pb2.FacetRequest(created=facet_pb2.CreatedFacet(edges=[LATER, NOON]))],
            {},
            ("INVALID_ARGUMENT", "INVALID_ARGUMENT", "facets[0].created.edges"),
        ),
        (
            FACETS,
            {"neighbourhood": pb.Neighbourhood(query=pb.SearchQuery(image_id=1))},
            ("INVALID_ARGUMENT", "NEIGHBOURHOOD_UNBOUNDED", "neighbourhood"),
        ),
        (
            FACETS,
            {"neighbourhood": pb.Neighbourhood(k=3)},
            ("INVALID_ARGUMENT", "QUERY_MISSING", "neighbourhood.query"),
        ),
        (
            FACETS,
            {"neighbourhood": pb.Neighbourhood(query=pb.SearchQuery(image_id=9999), k=3)},
            ("NOT_FOUND", "IMAGE_NOT_FOUND", "neighbourhood.query.image_id"),
        ),
        (
            FACETS,
            {"neighbourhood": pb.Neighbourhood(query=pb.SearchQuery(image_id=1), k=0)},
            ("INVALID_ARGUMENT", "K_OUT_OF_RANGE", "neighbourhood.k"),
        ),
        (
            FACETS,
            {"min_sequence": N + 1},
            ("FAILED_PRECONDITION", "SEQUENCE_NOT_REACHED", "min_sequence"),
        ),
    ],
)
def test_facets_that_cannot_be_counted_are_refused(gallery, facets, arguments, error):
    request = pb.FacetsRequest(facets=facets, **arguments)
    assert named(error_of(gallery.search.Facets, request)) == error

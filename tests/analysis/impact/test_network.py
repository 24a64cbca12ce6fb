"""The graph of roads, against networkx and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from flood_seg.analysis.impact.network import Network, build_network
from flood_seg.analysis.impact.reach import reach_places
from flood_seg.analysis.impact.roads import measure
from flood_seg.errors import DataError

STEP = 0.001  # degrees, about 111 m
FILES = Path("places"), Path("depots")


def network(*roads: list[tuple[float, float]], used: Any = None, join: float = 0.0) -> Network:
    """Of roads with vertices in steps."""
    points = STEP * np.array([point for road in roads for point in road], float)
    offsets = np.concatenate([[0], np.cumsum([len(road) for road in roads])])
    return build_network(
        points, offsets, measure(points, offsets), np.ones(len(roads), bool) if used is None else used, join
    )


def test_roads_join_at_shared_vertices_and_ends_but_not_where_they_cross() -> None:
    street = [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert len(network(street).ends) == 1
    crossing = network(street, [(1, -1), (1, 0), (1, 1)], [(2.5, -1), (2.5, 1)], [(3, 0), (3, 2)])
    assert len(crossing.nodes) == 8
    assert sorted(np.bincount(crossing.ends.ravel()).tolist()) == [1, 1, 1, 1, 1, 1, 2, 4]
    assert crossing.components(np.ones(len(crossing.ends), bool)).max() == 1
    assert crossing.lengths.sum() == pytest.approx(network(street).lengths.sum() + 6 * 110.57, rel=1e-3)


def test_footpaths_connect_nothing() -> None:
    used = np.array([True, False, True])
    found = network([(0, 0), (1, 0)], [(1, 0), (2, 0)], [(2, 0), (3, 0)], used=used)
    assert found.components(np.ones(len(found.ends), bool)).max() == 1


@pytest.mark.parametrize(("join", "parts"), [(0.0, 2), (5.0, 2), (20.0, 1)])
def test_loose_ends_are_joined_within_a_distance(join: float, parts: int) -> None:
    found = network([(0, 0), (1, 0)], [(1.1, 0), (2, 0)], join=join)  # 11 m apart
    assert found.components(np.ones(2, bool)).max() + 1 == parts


def test_roads_meet_at_the_antimeridian_and_at_the_pole() -> None:
    found = network([(179_990, 0), (180_000, 0)], [(-180_000, 0), (-179_990, 0)], [(5, 89_000), (5, 90_000)],
                    [(9, 89_000), (70, 90_000)])  # fmt: skip
    assert len(found.nodes) == 6
    assert found.lengths[:2] == pytest.approx([1113.2] * 2, rel=1e-3)


def test_distances_are_those_of_networkx() -> None:
    random = np.random.default_rng(0)
    roads = []
    for col, row in np.ndindex(12, 12):
        for other in ((col + 1, row), (col, row + 1)):
            bend = (np.add((col, row), other) / 2 + random.normal(0, 0.2, 2)).tolist()
            roads += [[(col, row), tuple(bend), other]]
    roads += [roads[5], [(3, 3), (3, 3.4), (3, 3)]]  # twice the same road, and one that ends where it begins
    found = network(*roads)
    kept = random.random(len(found.ends)) < 0.7
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(len(found.nodes)))
    edges = zip(found.ends[kept].tolist(), found.lengths[kept], strict=True)
    graph.add_weighted_edges_from((*ends, length) for ends, length in edges)
    expected = nx.multi_source_dijkstra_path_length(graph, {3, 40})
    distances = found.distances(kept, np.array([3, 40]))
    assert {node: value for node, value in enumerate(distances) if np.isfinite(value)} == pytest.approx(expected)
    assert found.components(kept).max() + 1 == nx.number_connected_components(graph)


# Two ways from a depot in the west to the east: 4 steps along the south, 6 by the north.
RING = [[(0, 0), (1, 0)], [(1, 0), (2, 0)], [(2, 0), (3, 0)], [(3, 0), (4, 0)], [(0, 0), (0, 1), (4, 1), (4, 0)],
        [(2, 0), (2, -1)]]  # fmt: skip
PLACES = STEP * np.array([(0, 0), (1.01, 0), (2, -1), (4, 0), (30, 0)])
DEPOT = STEP * np.array([(0.0, 0.0)])


def reach(cut: list[int], unobserved: list[int] = (), depots: np.ndarray | None = DEPOT) -> Any:  # type: ignore[assignment]
    numbers = np.arange(len(RING))
    return reach_places(network(*RING), np.isin(numbers, cut), np.isin(numbers, unobserved), PLACES, depots, 100, FILES)


def test_places_are_cut_off_or_take_another_way() -> None:
    whole = reach([])
    assert whole.on_network.tolist() == [True] * 4 + [False]
    assert "1 of 5 places" in whole.warnings[0]
    assert not whole.cut_off.any()
    before = whole.before[:4] / network(*RING).lengths[0]
    assert before == pytest.approx([0, 1, 3, 4], abs=0.02)
    flooded = reach([2, 5])
    assert flooded.cut_off.tolist() == [False, False, True, False, False]
    after = flooded.after / network(*RING).lengths[0]
    assert after == pytest.approx([0, 1, np.nan, 6, np.nan], abs=0.03, nan_ok=True)
    assert (flooded.before[:4] == whole.before[:4]).all()


def test_ways_that_nobody_has_seen() -> None:
    found = reach([1], unobserved=[4])
    assert found.cut_off.tolist() == [False] * 5
    assert found.over_unobserved.tolist() == [False, False, True, True, False]


def test_without_depots_the_largest_part_counts() -> None:
    found = reach([0, 2, 4], depots=None)  # the depot, and the crossing in the south with two arms
    assert found.cut_off.tolist() == [True, False, False, True, False]
    assert np.isnan(found.after).all()


def test_places_of_another_region_are_an_error() -> None:
    ring = network(*RING)
    none = np.zeros(len(RING), bool)
    with pytest.raises(DataError, match="1 of 1 places lie farther than 100 m"):
        reach_places(ring, none, none, PLACES[4:], DEPOT, 100, FILES)
    with pytest.raises(DataError, match="1 of 1 depots lie farther than 100 m"):
        reach_places(ring, none, none, PLACES, PLACES[4:], 100, FILES)

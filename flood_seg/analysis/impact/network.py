"""Roads as a graph: which nodes still reach which, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EARTH = 6_371_008.8  # metres, mean radius; nodes are compared by chords of such a sphere
SHORTEST = 1e-3  # metres of an edge, since a length of 0 is no edge in a sparse matrix
TOUCH = 1e-3  # metres of a stretch on an edge that are not rounding


@dataclass(frozen=True)
class Network:
    """Edges between the ends of roads and the vertices that several share.

    Attributes:
        nodes: longitude and latitude, float64 [nodes, 2].
        ends: the two nodes of each edge, int64 [edges, 2].
        start: metres along all roads at which an edge begins, float64 [edges], ascending; see `build_network`.
        stop: metres along all roads at which it ends.
    """

    nodes: np.ndarray
    ends: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Metres, float64 [edges]."""
        return np.asarray(self.stop - self.start)

    def touched(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Returns which edges stretches of roads touch, bool [edges].

        Args:
            start: metres along all roads, float64 [stretches].
            stop: metres along all roads.
        """
        first = np.searchsorted(self.stop, start + TOUCH, "right")
        last = np.searchsorted(self.start, stop - TOUCH, "left")  # one behind it
        some = first < last
        change = np.bincount(first[some], minlength=len(self.start) + 1)
        change = change - np.bincount(last[some], minlength=len(self.start) + 1)
        return np.asarray(np.cumsum(change)[:-1] > 0)

    def components(self, kept: np.ndarray) -> np.ndarray:
        """Returns the number of the component of each node, int32 [nodes], by the edges that are kept, bool [edges]."""
        from scipy.sparse.csgraph import connected_components

        return np.asarray(connected_components(self._matrix(kept), directed=False)[1])

    def distances(self, kept: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """Returns metres from each node to the nearest source by edges that are kept, float64 [nodes]; inf: none."""
        from scipy.sparse.csgraph import dijkstra

        return np.asarray(dijkstra(self._matrix(kept), directed=False, indices=sources, min_only=True))

    def _matrix(self, kept: np.ndarray) -> object:
        """Returns a sparse matrix of lengths; of several edges between two nodes, the shortest."""
        from scipy.sparse import csr_array

        ends, lengths = np.sort(self.ends[kept], axis=1), np.maximum(self.lengths[kept], SHORTEST)
        order = np.lexsort((lengths, ends[:, 1], ends[:, 0]))
        ends, lengths = ends[order], lengths[order]
        chosen = ends[:, 0] != ends[:, 1]
        chosen[1:] &= (ends[1:] != ends[:-1]).any(1)
        ends, lengths = ends[chosen].astype(np.int32), lengths[chosen]
        return csr_array((lengths, (ends[:, 0], ends[:, 1])), shape=(len(self.nodes),) * 2)


def build_network(
    points: np.ndarray, offsets: np.ndarray, along: np.ndarray, used: np.ndarray, join_distance: float
) -> Network:
    """Makes the graph of roads.

    Nodes are the ends of roads, and the vertices that several roads share or that one passes twice: those with the same
    coordinates to 1e-7 degrees, the resolution of OpenStreetMap, about 1 cm.

    Args:
        points: longitudes and latitudes of the vertices, float64 [points, 2].
        offsets: the first vertex of each road, and the end, int64 [roads + 1].
        along: metres of all roads before each vertex, one after another, float64 [points].
        used: whether a road is part of the graph, bool [roads].
        join_distance: metres; the end of a road that joins no other one is the same node as the nearest one within it.
    """
    keys = _keys(points)
    shared = _repeated(keys, np.repeat(used, np.diff(offsets)))
    shared[offsets[:-1][used]] = shared[offsets[1:][used] - 1] = True
    vertices = np.flatnonzero(shared)
    keys = keys[vertices]
    _, one, node = np.unique(keys, return_index=True, return_inverse=True)
    road = np.searchsorted(offsets, vertices, "right") - 1
    begin = np.flatnonzero(road[1:] == road[:-1])
    ends = np.stack([node[begin], node[begin + 1]], 1)
    nodes = points[vertices[one]]
    if join_distance > 0 and len(ends):
        same = _join(nodes, ends, join_distance)
        kept, same = np.unique(same, return_inverse=True)
        nodes, ends = nodes[kept], same[ends]
    return Network(nodes, ends, along[vertices[begin]], along[vertices[begin + 1]])


def nearest(nodes: np.ndarray, candidates: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nearest of some nodes to each point and the metres to it.

    Args:
        nodes: longitudes and latitudes, float64 [nodes, 2].
        candidates: nodes that may be chosen, int64 [candidates], at least one.
        points: longitudes and latitudes, float64 [points, 2].
    """
    from pyproj import Geod
    from scipy.spatial import cKDTree

    _, found = cKDTree(on_sphere(nodes[candidates])).query(on_sphere(points))
    chosen = candidates[found]
    _, _, metres = Geod(ellps="WGS84").inv(*points.T, *nodes[chosen].T)
    return chosen, np.asarray(metres)


def _keys(points: np.ndarray) -> np.ndarray:
    """Returns a whole number for each point that is the same for the same place, int64 [points]."""
    turn = 3_600_000_000
    found = np.rint((points[:, 0] + 180) * 1e7).astype(np.int64)
    found %= turn
    latitude = np.rint((points[:, 1] + 90) * 1e7).astype(np.int64)
    found[(latitude == 0) | (latitude == turn // 2)] = 0  # the poles
    found <<= 31  # latitudes are less than 1.8e9, longitudes less than 3.6e9
    found |= latitude
    return found


def _repeated(keys: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns which keys occur several times among those that are chosen, bool [keys]."""
    order = np.flatnonzero(chosen).astype(np.int32)
    order = order[np.argsort(keys[order])]
    same = keys[order]
    same = same[1:] == same[:-1]
    found = np.zeros(len(keys), bool)
    found[order[1:][same]] = found[order[:-1][same]] = True
    return found


def on_sphere(points: np.ndarray) -> np.ndarray:
    """Returns places on a sphere of the Earth's mean radius, in metres, float64 [points, 3], of degrees."""
    longitude, latitude = np.radians(points).T
    circle = np.cos(latitude)
    return EARTH * np.stack([circle * np.cos(longitude), circle * np.sin(longitude), np.sin(latitude)], 1)


def _join(nodes: np.ndarray, ends: np.ndarray, distance: float) -> np.ndarray:
    """Returns for each node the one that it is the same as, int64 [nodes]: itself, or one near a loose end."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    loose = np.flatnonzero(np.bincount(ends.ravel(), minlength=len(nodes)) == 1)
    places = on_sphere(nodes)
    metres, found = cKDTree(places).query(places[loose], k=2, distance_upper_bound=distance)
    own = found[:, 0] == loose  # else another node lies at the same place
    other, metres = np.where(own, found[:, 1], found[:, 0]), np.where(own, metres[:, 1], metres[:, 0])
    near = np.isfinite(metres)
    pairs = (np.ones(near.sum()), (loose[near], other[near]))
    _, label = connected_components(coo_array(pairs, shape=(len(nodes),) * 2), directed=False)
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])

"""Places that a flood cuts off, and how much farther the others are from the nearest depot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.impact.network import nearest
from flood_seg.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.analysis.impact.network import Network


@dataclass(frozen=True)
class Reach:
    """What places reach.

    Attributes:
        on_network: whether a place is near the roads that reach a depot, or the largest part of them, without the
            flood, bool [places]; nothing is known of the others.
        cut_off: whether it does not reach one any more, bool [places].
        over_unobserved: whether it does so only by roads that are not observed, bool [places].
        before: metres by road to the nearest depot without the flood, float64 [places]; not a number: not known.
        after: with it; not a number for places that are cut off.
        warnings: a sentence each.
    """

    on_network: np.ndarray
    cut_off: np.ndarray
    over_unobserved: np.ndarray
    before: np.ndarray
    after: np.ndarray
    warnings: list[str]


def reach_places(
    network: Network, cut: np.ndarray, unobserved: np.ndarray, places: np.ndarray, depots: np.ndarray | None,
    snap_distance: float, files: tuple[Path, Path | None],
) -> Reach:  # fmt: skip
    """Compares the network with and without the edges that are cut.

    A place is taken to the nearest node among those that are connected without the flood: to a depot, or to the largest
    part of the network by length. Roads are used in both directions.

    Args:
        network: of the roads.
        cut: whether an edge is cut, bool [edges].
        unobserved: whether an edge is not observed, bool [edges].
        places: longitudes and latitudes, float64 [places, 2].
        depots: longitudes and latitudes, float64 [depots, 2]; None: the largest part counts.
        snap_distance: metres between a place or a depot and its node, at most.
        files: of the places and of the depots.

    Raises:
        DataError: no place or no depot lies near the roads, or there are none for vehicles.
    """
    if not len(cut):
        raise DataError(f"{files[0]}: cannot be reached, since no vehicle uses the roads; see impact.no_vehicles")
    every = np.ones(len(cut), bool)
    before = network.components(every)
    largest = _largest(network, before, every)
    sources, warnings = None, list[str]()
    if depots is not None:
        sources, warning = _sources(network, before == largest, depots, snap_distance, files[1])
        warnings += warning
    main = np.isin(before, before[sources]) if sources is not None else before == largest
    node, metres = nearest(network.nodes, np.flatnonzero(main), places)
    on_network = metres <= snap_distance
    if not on_network.all():
        what = "a road that reaches a depot" if depots is not None else "the largest connected part of the roads"
        problem = f"{files[0]}: {(~on_network).sum()} of {len(places)} places lie farther than "
        problem += f"{snap_distance:g} m from {what}"
        if not on_network.any():
            raise DataError(f"{problem}; give roads and places of one region, or raise impact.snap_distance")
        warnings.append(f"{problem}; nothing is known of them")
    reached = _reached(network, ~cut, sources)[node]
    observed = _reached(network, ~cut & ~unobserved, sources)[node]
    distance = np.full((2, len(places)), np.nan)
    if sources is not None:
        distance[0] = network.distances(every, sources)[node]
        distance[1] = network.distances(~cut, sources)[node]
        distance[:, ~on_network] = np.nan
        distance[~np.isfinite(distance)] = np.nan
    lost, unsure = on_network & ~reached, on_network & reached & ~observed
    return Reach(on_network, lost, unsure, distance[0], distance[1], warnings)


def _sources(
    network: Network, in_largest: np.ndarray, depots: np.ndarray, snap_distance: float, path: Path | None
) -> tuple[np.ndarray, list[str]]:
    """Returns the nodes of depots: in the largest part of the network where that is near, else the nearest ones."""
    node, metres = nearest(network.nodes, np.flatnonzero(in_largest), depots)
    other, other_metres = nearest(network.nodes, np.arange(len(network.nodes)), depots)
    far = metres > snap_distance
    node, metres = np.where(far, other, node), np.where(far, other_metres, metres)
    near = metres <= snap_distance
    if near.all():
        return np.unique(node), []
    problem = f"{path}: {(~near).sum()} of {len(depots)} depots lie farther than {snap_distance:g} m from a road"
    if not near.any():
        raise DataError(f"{problem}; give roads and depots of one region, or raise impact.snap_distance")
    return np.unique(node[near]), [f"{problem} and are left out"]


def _largest(network: Network, component: np.ndarray, kept: np.ndarray) -> int:
    """Returns the component with the most metres."""
    return int(np.bincount(component[network.ends[kept, 0]], network.lengths[kept], component.max() + 1).argmax())


def _reached(network: Network, kept: np.ndarray, sources: np.ndarray | None) -> np.ndarray:
    """Returns which nodes reach a source, or are in the largest component, by edges that are kept, bool [nodes]."""
    component = network.components(kept)
    if sources is None:
        return np.asarray(component == _largest(network, component, kept))
    return np.isin(component, component[sources])

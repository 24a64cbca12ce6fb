"""The configuration of `data scene`: catalogues of scenes, and what is taken of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flood_seg.config.schema.checks import check_choice, check_choices, check_range, closed_choices
from flood_seg.errors import ConfigError


@closed_choices
@dataclass
class CollectionConfig:
    """How the files of a collection are read."""

    bands: list[str]
    assets: dict[str, str]
    categorical: list[str]
    resolution: float
    dtype: Literal["uint8", "uint16", "int16", "float32"]
    nodata: float | None
    gain: float
    offset: float
    offset_from: dict[str, str]
    offset_applied: str | None

    def __post_init__(self) -> None:
        check_choices("catalog.collections.*", self)
        check_range("catalog.collections.*.resolution", self.resolution, 0, open_low=True)
        for band in (*self.bands, *self.categorical):
            check_choice("catalog.collections.*.bands", band, tuple(self.assets))


@dataclass
class CatalogConfig:
    """A STAC API, and how its files are read."""

    url: str
    token_url: str | None
    gdal: dict[str, str]
    collections: dict[str, CollectionConfig]

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"catalog.url={self.url}: give the address of a STAC API, https://...")


@dataclass
class SceneOptions:
    """Which scenes are taken, and of what size."""

    collection: str
    bands: list[str] | None
    cloud: float
    coverage: float
    count: int
    resolution: float | None
    max_megapixels: float
    max_items: int
    timeout: float
    retries: int

    def __post_init__(self) -> None:
        check_range("scene.cloud", self.cloud, 0, 100)
        check_range("scene.coverage", self.coverage, 0, 100)
        check_range("scene.count", self.count, 1)
        check_range("scene.resolution", 1 if self.resolution is None else self.resolution, 0, open_low=True)
        check_range("scene.max_megapixels", self.max_megapixels, 0, open_low=True)
        check_range("scene.max_items", self.max_items, 1)
        check_range("scene.timeout", self.timeout, 0, open_low=True)
        check_range("scene.retries", self.retries, 0, 100)


@dataclass
class SceneConfig:
    """The whole of `flood-seg data scene`."""

    catalog: CatalogConfig
    scene: SceneOptions

    def __post_init__(self) -> None:
        check_choice("scene.collection", self.scene.collection, tuple(self.catalog.collections))
        for band in self.scene.bands or []:
            check_choice("scene.bands", band, tuple(self.collection.assets))

    @property
    def collection(self) -> CollectionConfig:
        """The collection that scenes are taken of."""
        return self.catalog.collections[self.scene.collection]

    @property
    def bands(self) -> list[str]:
        """The bands that are taken."""
        return self.scene.bands or self.collection.bands

    @property
    def resolution(self) -> float:
        """Size of a pixel in metres."""
        return self.scene.resolution or self.collection.resolution

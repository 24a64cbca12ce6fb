"""Which assets of a STAC item are read, and which of their bands."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from flood_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pystac import Asset, Item

    from flood_seg.imaging.optional import OptionalBands

_RASTER_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "application/x-netcdf")
_RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".nc")
_NO_DATA_ROLES = ("thumbnail", "overview", "metadata")


class AssetBand(NamedTuple):
    """What is read of an asset.

    Attributes:
        key: of the asset.
        number: of the band in its file, from 1; None: all of them.
        name: of the band.
    """

    key: str
    number: int | None
    name: str


def named_asset(item: Item, text: str, name: str, advice: str) -> AssetBand:
    """Returns what a text stands for: an asset's key, or `KEY:NUMBER`, a band of it.

    Args:
        item: with the asset.
        text: as it was configured.
        name: of the band.
        advice: what to do if the item has no such asset.

    Raises:
        DataError: the item has no such asset.
    """
    if text in item.assets:
        return AssetBand(text, None, name)
    key, colon, number = text.rpartition(":")
    if not (colon and number.isdecimal()):
        key, number = text, ""
    if key not in item.assets:
        raise DataError(f"{item.id}: has no asset {key}{'' if name == text else f' ({name})'}; {advice}")
    return AssetBand(key, int(number), name)


def choose_assets(
    item: Item, keys: Sequence[str], bands: Sequence[str], optional: OptionalBands | None = None
) -> list[AssetBand]:
    """Chooses what is read of an item.

    Args:
        item: a STAC item.
        keys: of the assets, or `KEY:NUMBER`; empty: the assets that hold the bands.
        bands: of the model, in lower case.
        optional: bands that the item need not have; None: all must be there.

    Raises:
        DataError: the item has not the assets, or it is not clear which ones are meant.
    """
    if keys:
        return [named_asset(item, key, key, f"map.assets may be {', '.join(item.assets)}") for key in keys]
    rasters = {key: asset for key, asset in item.assets.items() if _is_raster(asset)}
    places = {key: _bands(key, asset) for key, asset in rasters.items()}
    for key, named in places.items():  # all in one file, else each in the first one that has it
        if all(band in named for band in bands):
            return [AssetBand(key, named[band], band) for band in bands]
    found = {
        band: next((AssetBand(key, named[band], band) for key, named in places.items() if band in named), None)
        for band in bands
    }
    missing = [band for band, place in found.items() if place is None]
    if not missing or (optional and optional.allow(missing)):
        return [place for place in found.values() if place]
    data = [key for key, asset in rasters.items() if "data" in (asset.roles or [])] or list(rasters)
    if len(data) == 1:
        return [AssetBand(data[0], None, data[0])]
    raise DataError(
        f"{item.id}: no asset has the band {', '.join(missing)}; set map.assets to some of {', '.join(item.assets)}"
    )


def _is_raster(asset: Asset) -> bool:
    suffix = PurePosixPath(urlsplit(asset.href).path).suffix.lower()
    kind = (asset.media_type or "").startswith(_RASTER_TYPES) or (not asset.media_type and suffix in _RASTER_SUFFIXES)
    return kind and not set(asset.roles or ()) & set(_NO_DATA_ROLES)


def _bands(key: str, asset: Asset) -> dict[str, int]:
    """Returns the number of each band of an asset, by its name and its common name in lower case."""
    bands = asset.extra_fields.get("bands") or asset.extra_fields.get("eo:bands") or []
    names = {key.lower(): 1} if len(bands) < 2 else {}
    for number, band in enumerate(bands, 1):
        for field in ("name", "common_name", "eo:common_name"):
            if name := str(band.get(field, "")).lower():
                names.setdefault(name, number)
    return names

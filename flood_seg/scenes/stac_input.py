"""Scenes that STAC items describe: the assets that hold a model's bands, put together as a virtual raster."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen
from xml.etree import ElementTree

from flood_seg.errors import DataError, ImageError
from flood_seg.files import write_text
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.source import gdal_name
from flood_seg.object_store import SCHEME, TIMEOUT_S, ObjectFolder, fingerprint
from flood_seg.scenes.scene import SOURCE_TAG
from flood_seg.scenes.stac_assets import choose_assets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pystac import Item
    from rasterio.io import DatasetReader

    from flood_seg.imaging.optional import OptionalBands

_JSON = (".json", ".geojson")
_GDAL_TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
               "int32": "Int32", "float32": "Float32", "float64": "Float64"}  # fmt: skip


@dataclass(frozen=True)
class AssetChoice:
    """What is taken of an item.

    Attributes:
        keys: of the assets, or `KEY:NUMBER`, a band of one; empty: those that hold the bands.
        bands: of the model, in lower case.
        folder: of the virtual rasters.
        optional: bands that an item need not have; None: all must be there.
    """

    keys: Sequence[str]
    bands: Sequence[str]
    folder: Path
    optional: OptionalBands | None = None


def is_stac(text: str) -> bool:
    """Whether a file or an address is a STAC document; raises DataError where a server does not respond."""
    scheme, suffix = urlsplit(text).scheme, PurePosixPath(urlsplit(text).path).suffix.lower()
    if scheme in ("http", "https") and not suffix:  # as those of a STAC API
        try:
            with urlopen(text, timeout=TIMEOUT_S) as page:
                return "json" in page.headers.get_content_type()
        except OSError as error:
            raise DataError(f"{text}: cannot be read ({getattr(error, 'reason', error)})") from error
    return suffix in _JSON and (scheme in ("http", "https", "s3") or Path(text).is_file())


def write_scenes(text: str, choice: AssetChoice) -> list[Path]:
    """Writes a virtual raster for each item of a STAC document, which is named as the item.

    Args:
        text: file or address of an item, an item collection, a collection or a catalogue with all that is below.
        choice: of the assets.

    Raises:
        DataError: it is no such document, or an item has not the assets.
        ImageError: an asset cannot be opened.
        OutputError: the virtual raster cannot be written.
    """
    folder = choice.folder / sha256(text.encode()).hexdigest()[:12]
    scenes = []
    for item in read_items(text):
        path = folder / f"{re.sub(r'[^0-9A-Za-z_.-]', '_', item.id)}.vrt"
        if path in scenes:
            raise DataError(f"{text}: two items are named {item.id}")
        content = _virtual_raster(item, choice)
        if not (path.is_file() and path.read_text(encoding="utf-8") == content):  # its time says that it has changed
            write_text(path, content)
        scenes.append(path)
    return scenes


def read_items(text: str) -> list[Item]:
    """Returns the items of a STAC document, with absolute addresses; raises DataError."""
    import pystac
    from pystac.errors import STACError
    from pystac.stac_io import DefaultStacIO

    class StacIO(DefaultStacIO):
        def read_text_from_href(self, href: str, *args: Any, **kwargs: Any) -> str:
            if not href.startswith(SCHEME):
                if "://" not in href:
                    return Path(href).read_text(encoding="utf-8")
                with urlopen(href, timeout=TIMEOUT_S) as page:
                    return str(page.read().decode())
            folder, _, name = href.rpartition("/")
            content = ObjectFolder(folder).read(name)
            if content is None:
                raise DataError(f"{href}: does not exist")
            return content.decode()

    try:
        io = StacIO()
        document = json.loads(io.read_text_from_href(text))
        if document.get("type") == "FeatureCollection":
            for feature in document["features"]:
                feature.setdefault("stac_version", "1.0.0")
            items = [pystac.Item.from_dict(feature, href=_own_address(feature) or text)
                     for feature in document["features"]]  # fmt: skip
        else:
            found: Any = pystac.read_file(text, stac_io=io)
            items = [found] if isinstance(found, pystac.Item) else list(found.get_items(recursive=True))
        for item in items:
            item.make_asset_hrefs_absolute()
    except (STACError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"{text}: cannot be read as a STAC item, collection or catalogue ({reason})") from error
    return items


def _own_address(feature: dict[str, Any]) -> str | None:
    return next((link["href"] for link in feature.get("links", []) if link.get("rel") == "self"), None)


def _virtual_raster(item: Item, choice: AssetChoice) -> str:
    """Returns the XML of a raster whose bands are those of assets, at the finest of their resolutions."""
    chosen = choose_assets(item, choice.keys, choice.bands, choice.optional)
    with ExitStack() as stack:
        opened = {
            key: stack.enter_context(open_raster(gdal_name(item.assets[key].href)))
            for key in dict.fromkeys(key for key, _, _ in chosen)
        }
        finest = max(opened.values(), key=lambda dataset: dataset.width * dataset.height)
        for key, dataset in opened.items():
            if dataset.crs != finest.crs:
                raise ImageError(f"{item.id}: asset {key} has the CRS {dataset.crs}, others have {finest.crs}")
        root = ElementTree.Element("VRTDataset", rasterXSize=str(finest.width), rasterYSize=str(finest.height))
        if finest.crs:
            ElementTree.SubElement(root, "SRS").text = finest.crs.to_wkt()
            ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, finest.transform.to_gdal()))
        tags = {SOURCE_TAG: item.get_self_href() or item.id}
        if item.datetime:
            tags["TIFFTAG_DATETIME"] = item.datetime.strftime("%Y:%m:%d %H:%M:%S")
        for key in opened:
            tags[f"SOURCE_{key}"] = json.dumps(_version(item.assets[key].href))
        metadata = ElementTree.SubElement(root, "Metadata")
        for name, value in tags.items():
            ElementTree.SubElement(metadata, "MDI", key=name).text = value
        for key, number, name in chosen:
            dataset = opened[key]
            for index in range(1, dataset.count + 1) if number is None else [number]:
                if not 1 <= index <= dataset.count:
                    raise ImageError(f"{item.id}: asset {key} has no band {index} ({name})")
                given = name if number is not None or dataset.count == 1 else dataset.descriptions[index - 1]
                _add_band(root, item.assets[key].href, dataset, index, given, (finest.height, finest.width))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _version(href: str) -> list[Any] | None:
    if "://" in href:
        return fingerprint(href)
    status = Path(href).stat()
    return [status.st_size, status.st_mtime_ns]


def _add_band(
    root: ElementTree.Element, href: str, dataset: DatasetReader, index: int, name: str | None, shape: tuple[int, int]
) -> None:
    kind = _GDAL_TYPES[dataset.dtypes[index - 1]]
    band = ElementTree.SubElement(
        root, "VRTRasterBand", dataType=kind, band=str(len(root.findall("VRTRasterBand")) + 1)
    )
    if name:
        ElementTree.SubElement(band, "Description").text = name
    nodata = dataset.nodatavals[index - 1]
    if nodata is not None:
        ElementTree.SubElement(band, "NoDataValue").text = repr(nodata)
    ElementTree.SubElement(band, "ColorInterp").text = dataset.colorinterp[index - 1].name.capitalize()
    same = dataset.shape == shape
    source = ElementTree.SubElement(band, "SimpleSource" if nodata is None else "ComplexSource",
                                    {} if same else {"resampling": "bilinear"})  # fmt: skip
    ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(gdal_name(href))
    ElementTree.SubElement(source, "SourceBand").text = str(index)
    height, width = dataset.block_shapes[index - 1]
    ElementTree.SubElement(
        source, "SourceProperties", RasterXSize=str(dataset.width), RasterYSize=str(dataset.height), DataType=kind,
        BlockXSize=str(width), BlockYSize=str(height),
    )  # fmt: skip
    for rectangle, (rows, cols) in (("SrcRect", dataset.shape), ("DstRect", shape)):
        ElementTree.SubElement(source, rectangle, xOff="0", yOff="0", xSize=str(cols), ySize=str(rows))
    if nodata is not None:
        ElementTree.SubElement(source, "NODATA").text = repr(nodata)

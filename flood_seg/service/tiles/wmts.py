"""The capabilities of a WMTS 1.0.0 with RESTful tiles, which QGIS, ArcGIS and GDAL read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from flood_seg.service.tiles.readers import TILE, Pyramid, mercator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MATRIX_SET = "WebMercatorQuad"
SCREEN_PIXEL = 0.00028  # metres, as OGC defines scale denominators
_WMTS, _OWS, _XLINK = (
    "http://www.opengis.net/wmts/1.0",
    "http://www.opengis.net/ows/1.1",
    "http://www.w3.org/1999/xlink",
)
_NAMESPACES = {"": _WMTS, "ows": _OWS, "xlink": _XLINK, "xsi": "http://www.w3.org/2001/XMLSchema-instance"}


@dataclass(frozen=True)
class WmtsLayer:
    """A layer.

    Attributes:
        name: by which clients ask for it.
        title: for readers.
        address: of the tiles, with {z}, {x} and {y}.
        bounds: west, south, east, north, within ±180.
    """

    name: str
    title: str
    address: str
    bounds: Sequence[float]


def capabilities(title: str, layers: Sequence[WmtsLayer], pyramid: Pyramid, address: str) -> bytes:
    """Returns the capabilities document.

    Args:
        title: of the service.
        layers: that it has.
        pyramid: of the scene, in Web Mercator.
        address: of the document.
    """
    root = _element(None, "Capabilities", {"version": "1.0.0"})
    identity = _element(root, "ows:ServiceIdentification")
    for name, text in {"Title": title, "ServiceType": "OGC WMTS", "ServiceTypeVersion": "1.0.0"}.items():
        _element(identity, f"ows:{name}", text=text)
    contents = _element(root, "Contents")
    for layer in layers:
        _add_layer(contents, layer, pyramid)
    _add_matrices(contents, pyramid)
    _element(root, "ServiceMetadataURL", {"xlink:href": address})
    document: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _add_layer(contents: Xml.Element, layer: WmtsLayer, pyramid: Pyramid) -> None:
    west, south, east, north = layer.bounds
    node = _element(contents, "Layer")
    _element(node, "ows:Title", text=layer.title)
    box = _element(node, "ows:WGS84BoundingBox")
    _element(box, "ows:LowerCorner", text=f"{west} {south}")
    _element(box, "ows:UpperCorner", text=f"{east} {north}")
    _element(node, "ows:Identifier", text=layer.name)
    style = _element(node, "Style", {"isDefault": "true"})
    _element(style, "ows:Identifier", text="default")
    _element(node, "Format", text="image/png")
    link = _element(node, "TileMatrixSetLink")
    _element(link, "TileMatrixSet", text=MATRIX_SET)
    limits = _element(link, "TileMatrixSetLimits")
    for level in range(pyramid.minzoom, pyramid.maxzoom + 1):
        low, high = mercator().tile(west, north, level), mercator().tile(east, south, level)
        found = _element(limits, "TileMatrixLimits")
        numbers = {"MinTileRow": low.y, "MaxTileRow": high.y, "MinTileCol": low.x, "MaxTileCol": high.x}
        for name, number in {"TileMatrix": level, **numbers}.items():
            _element(found, name, text=str(min(number, 2**level - 1) if name != "TileMatrix" else number))
    template = layer.address
    for short, name in {"{z}": "{TileMatrix}", "{x}": "{TileCol}", "{y}": "{TileRow}"}.items():
        template = template.replace(short, name)
    _element(node, "ResourceURL", {"format": "image/png", "resourceType": "tile", "template": template})


def _add_matrices(contents: Xml.Element, pyramid: Pyramid) -> None:
    node = _element(contents, "TileMatrixSet")
    _element(node, "ows:Identifier", text=MATRIX_SET)
    _element(node, "ows:SupportedCRS", text="urn:ogc:def:crs:EPSG::3857")
    _element(node, "WellKnownScaleSet", text="urn:ogc:def:wkss:OGC:1.0:GoogleMapsCompatible")
    left, top = mercator().matrix(0).pointOfOrigin
    for level in range(pyramid.minzoom, pyramid.maxzoom + 1):
        scale = mercator().matrix(level).cellSize / SCREEN_PIXEL
        matrix = _element(node, "TileMatrix")
        _element(matrix, "ows:Identifier", text=str(level))
        _element(matrix, "ScaleDenominator", text=repr(scale))
        _element(matrix, "TopLeftCorner", text=f"{left!r} {top!r}")
        for name, number in {"TileWidth": TILE, "TileHeight": TILE, "MatrixWidth": 2**level,
                             "MatrixHeight": 2**level}.items():  # fmt: skip
            _element(matrix, name, text=str(number))


def _element(parent: Xml.Element | None, name: str, attributes: Mapping[str, str] = {}, text: str = "") -> Xml.Element:
    node = Xml.Element(_qualified(name)) if parent is None else Xml.SubElement(parent, _qualified(name))
    node.attrib.update({_qualified(key) if ":" in key else key: value for key, value in attributes.items()})
    node.text = text or None
    return node


def _qualified(name: str) -> str:
    prefix, _, local = name.rpartition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


for _prefix, _address in _NAMESPACES.items():
    Xml.register_namespace(_prefix, _address)

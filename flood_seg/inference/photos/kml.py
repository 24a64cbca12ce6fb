"""Photos with a position as KML."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from flood_seg.files import encodable
from flood_seg.inference.photos.photo import share_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.inference.photos.photo import Photo

_CONTROLS = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # that XML cannot contain


def to_kml(photos: Sequence[Photo]) -> str:
    """Returns the photos that have a position as KML: coloured by the first class's share, clamped to the ground."""
    placemarks = "\n".join(_placemark(photo) for photo in photos if photo.coordinates)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n'
        f"<Document>\n<name>photos</name>\n{placemarks}\n</Document>\n</kml>\n"
    )


def _placemark(photo: Photo) -> str:
    assert photo.coordinates is not None
    properties, shares = photo.properties, photo.shares
    color = share_color(next(iter(shares.values()), None)).removeprefix("#")
    shown = [f"{share:.1%} {name}" for name, share in shares.items()] or [properties["error"]]
    data = "".join(
        f"<Data name={quoteattr(key)}><value>{_xml(str(value))}</value></Data>"
        for key, value in properties.items()
        if value is not None and key != "thumbnail"
    )
    longitude, latitude = photo.coordinates
    time = f"<TimeStamp><when>{_xml(properties['time'])}</when></TimeStamp>" if properties["time"] else ""
    picture = f'<img width="400" src={quoteattr(quote(os.fsencode(properties["image"])))}/>'
    return (
        f"<Placemark><name>{_xml(Path(properties['image']).name)}</name>{time}"
        f"<description>{_xml(f'{picture}<br/>{escape(chr(10).join(shown))}')}</description>"
        f"<Style><IconStyle><color>ff{color[4:]}{color[2:4]}{color[:2]}</color></IconStyle></Style>"
        f"<ExtendedData>{data}</ExtendedData>"
        f"<Point><coordinates>{longitude:.8f},{latitude:.8f}</coordinates></Point></Placemark>"
    )


def _xml(text: str) -> str:
    return escape(_CONTROLS.sub("�", encodable(text)))

"""The language of a report: its catalogue of messages, and how numbers, units and times are written in it."""

from __future__ import annotations

import io
import math
import re
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flood_seg.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from datetime import datetime

    from babel.support import NullTranslations

UNKNOWN = "–"  # instead of a figure
SOURCE = "en"  # the language of the messages in the code
NUMBER = re.compile(r"\d+(?:\.\d+)?")
HECTARE, SQUARE_KILOMETRE = 1e4, 1e6  # m²
SMALLEST_STEP = 0.1  # hectares or square kilometres, that areas without an interval are rounded to
FEW = 100  # people, below which none are rounded


def languages() -> list[str]:
    """Returns the languages that there is a catalogue of, and that of the code."""
    catalogues = files("flood_seg.analysis.report").joinpath("locale").iterdir()
    return sorted({SOURCE, *(path.name.removesuffix(".po") for path in catalogues if path.name.endswith(".po"))})


class Language:
    """Writes messages, numbers and times of a report.

    Attributes:
        code: of the language, `ru` for example.
    """

    def __init__(self, code: str, timezone: str) -> None:
        """Takes a language that there is a catalogue of, and a time zone of the IANA database.

        Raises:
            ConfigError: there is no such catalogue or time zone.
        """
        from babel import Locale

        if code not in languages():
            near = did_you_mean(code, languages())
            raise ConfigError(f"report.language={code}: allowed are {', '.join(languages())}{near}")
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(f"report.timezone={timezone}: no such time zone; try UTC or Europe/Berlin") from error
        self.code = code
        self._locale = Locale.parse("en_001" if code == SOURCE else code)  # 14 July 2026, not July 14, 2026

    @cached_property
    def translations(self) -> NullTranslations:
        """The catalogue of gettext, read from its text, so that it need not be compiled before."""
        from babel.messages.mofile import write_mo
        from babel.messages.pofile import read_po
        from babel.support import NullTranslations, Translations

        if self.code == SOURCE:
            return NullTranslations()
        content = files("flood_seg.analysis.report").joinpath("locale", f"{self.code}.po").read_bytes()
        compiled = io.BytesIO()
        write_mo(compiled, read_po(io.BytesIO(content), locale=self.code))
        compiled.seek(0)
        return Translations(compiled)

    def text(self, message: str, **values: Any) -> str:
        """Returns a message of the catalogue, with its `%(name)s` replaced by values."""
        found: str = self.translations.gettext(message)
        return found % values

    def foreign(self, sentence: str) -> str:
        """Returns a sentence of another module, translated where the catalogue has it with `%(n1)s` for a number."""
        numbers = {f"n{place}": found for place, found in enumerate(NUMBER.findall(sentence), 1)}
        places = iter(numbers)
        message = NUMBER.sub(lambda _: f"%({next(places)})s", sentence.replace("%", "%%"))
        return self.text(message, **numbers)

    def plural(self, one: str, several: str, number: float, **values: Any) -> str:
        """Returns one of two messages by a number, which replaces `%(n)s`, in the forms that the language has."""
        whole = math.ceil(number) if number < 2 else round(number)
        found: str = self.translations.ngettext(one, several, whole)
        return found % ({"n": self.number(number)} | values)

    def number(self, value: float, step: float = 1.0) -> str:
        """Returns a number rounded to a power of ten."""
        from babel.numbers import format_decimal

        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        rounded = round(value / step) * step
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        written: str = format_decimal(rounded, pattern, locale=self._locale)
        return written

    def percent(self, share: float) -> str:
        """Returns a share as percent, in whole ones but for small shares."""
        value = 100 * share
        return self.text("%(number)s %%", number=self.number(value, 1 if value >= 10 or value == 0 else 0.1))

    def people(self, number: float) -> str:
        """Returns a number of people, which is an estimate: two significant digits of large ones."""
        return self.number(number, step_of(number, 2) if number >= FEW else 1)

    def area(self, square_metres: float, low: float | None = None, high: float | None = None) -> str:
        """Returns an area in hectares or square kilometres, rounded as its interval allows."""
        return self._in_unit([square_metres], *_unit_and_step(square_metres, low, high))

    def interval(self, square_metres: float, low: float, high: float) -> str:
        """Returns the interval of an area in the unit of `area`."""
        return self._in_unit([low, high], *_unit_and_step(square_metres, low, high))

    def _in_unit(self, values: list[float], unit: float, step: float) -> str:
        number = "–".join(self.number(value / unit, step) for value in values)
        if unit == HECTARE:
            return self.text("%(number)s ha", number=number)
        return self.text("%(number)s km²", number=number)

    def kilometres(self, value: float) -> str:
        """Returns a length."""
        return self.text("%(number)s km", number=self.number(value, 1 if value >= 100 else 0.1))

    def metres(self, value: float) -> str:
        """Returns a length of a scale bar."""
        if value >= 1000:
            return self.text("%(number)s km", number=self.number(value / 1000))
        return self.text("%(number)s m", number=self.number(value))

    def time(self, when: datetime) -> str:
        """Returns a date and a time with its zone."""
        from babel.dates import format_date, format_datetime, get_timezone_gmt

        local = when.astimezone(self._zone)
        day = format_date(local.date(), "long", locale=self._locale)
        zone = "UTC" if str(self._zone) == "UTC" else get_timezone_gmt(local, "long", locale=self._locale)
        return f"{day}, {format_datetime(local, 'HH:mm', tzinfo=self._zone, locale=self._locale)} {zone}"

    def short_time(self, when: datetime) -> str:
        """Returns a date and a time for tables, without the zone."""
        from babel.dates import format_date, format_datetime

        day = format_date(when.astimezone(self._zone).date(), "medium", locale=self._locale)
        return f"{day}, {format_datetime(when, 'HH:mm', tzinfo=self._zone, locale=self._locale)}"

    @property
    def zone(self) -> str:
        """The name of the time zone."""
        return str(self._zone)


def step_of(value: float, digits: int) -> float:
    """Returns the power of ten that a value is rounded to for its significant digits."""
    return float(10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)) if value else 1.0


def _unit_and_step(value: float, low: float | None, high: float | None) -> tuple[float, float]:
    """Returns the unit of an area in m², and the step in that unit that its interval, or else itself, is worth."""
    unit = SQUARE_KILOMETRE if max(value, high or 0) >= 10 * SQUARE_KILOMETRE else HECTARE
    if low is not None and high is not None and high > low:
        return unit, step_of((high - low) / unit, 2)
    return unit, min(1.0, max(SMALLEST_STEP, step_of(value / unit, 3)))

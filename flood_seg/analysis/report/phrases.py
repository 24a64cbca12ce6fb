"""Sentences of the analyses that a report translates, for its catalogues; others it shows as they are, in English."""

from __future__ import annotations


def _(phrase: str) -> str:
    """Marks a phrase for the catalogue; `%(n1)s`, `%(n2)s`, ... stand for its numbers, see `Language.foreign`."""
    return phrase


PHRASES = (
    _("all water"),
    _("water without permanent water"),
    _("water that was not there before"),
    _("modification time of the file"),
    _("time of the processing"),
    _("depths are not known: a road or a building under water may still be of use, and one beside it may not"),
    _("Flooded means: all water."),
    _("Flooded means: water without permanent water."),
    _("Flooded means: water that was not there before."),
    _("What was not observed (no data, clouds, outside of the scenes) counts neither as flooded nor as dry; no "
      "interval covers it."),
    _("The expected area is the sum of the probabilities of the pixels: as right as these, and without an interval."),
    _("The expected area is the sum of the probabilities of the pixels: as right as these, and without an interval. "
      "The probabilities of this model have not been calibrated (flood-seg evaluate --calibrate --save)."),
    _("Permanent water is taken from its reference as it is, without errors."),
    _("The interval holds for the scenes of these %(n1)s validation points, if the points were chosen at random within "
      "each class of the map, regardless of what is to be seen there, and if their classes are right. It does not "
      "cover errors of the reference, and says nothing of other scenes."),
    _("Where a district has fewer than %(n1)s points in a class of the map, those of all scenes stand in for them: its "
      "interval then assumes that this class is as right there as on average."),
    _("The interval is by the errors of the model on the %(n1)s images of its evaluation. It covers how much these "
      "differ from each other, and assumes that this map is like one more of them, taken as a whole: the same kind of "
      "imagery, of a similar region and season, with as much water. It does not cover other imagery (another sensor, "
      "resolution, light, haze, season) or other regions; validation points of the scenes (--validation) do."),
    _("The interval of each district is the one of a whole map with its share of water. Those of several districts are "
      "not independent and cannot be added; the total has its own."),
    _("The images are those of the validation part, by which the best epoch of the training may have been chosen: then "
      "the errors are a little smaller than on new images."),
    _("stratified estimation (Olofsson et al. %(n1)s) by %(n2)s validation points of the scenes"),
    _("stratified estimation (Olofsson et al. %(n1)s) by the errors on %(n2)s images of the model's evaluation, this "
      "map as one more"),
)  # fmt: skip

"""One spelling of each sport: Strava's, whatever watch, service or export wrote the row.

Exports in other languages are translated by the importer; here are the English spellings of Garmin, FIT, Polar, Apple
and Strava itself, compared by their letters alone ('trail_running', 'Trail Running', 'TrailRun').
"""

from __future__ import annotations

import re

_SPELLINGS = {
    "Run": "run running jog jogging trackrun trackrunning streetrun streetrunning roadrun roadrunning indoorrunning"
    " treadmill treadmillrun treadmillrunning obstaclerun obstaclerunning",
    "TrailRun": "trail trailrun trailrunning ultrarun ultrarunning skyrunning mountainrunning",
    "VirtualRun": "virtualrun virtualrunning",
    "Walk": "walk walking casualwalking speedwalking indoorwalking nordicwalking",
    "Hike": "hike hiking trekking mountaineering",
    "Ride": "ride cycling biking bicycling bike roadbiking roadcycling trackcycling commuting cyclocross",
    "VirtualRide": "virtualride virtualcycling indoorcycling indoorbiking spinning",
    "MountainBikeRide": "mountainbikeride mountainbiking mountainbike mtb downhillbiking",
    "GravelRide": "gravelride gravelcycling gravelbiking",
    "EBikeRide": "ebikeride ebiking ebikefitness",
    "Swim": "swim swimming lapswimming poolswimming openwaterswimming openwaterswim",
    "Rowing": "row rowing rowingv2 indoorrowing",
    "VirtualRow": "virtualrow virtualrowing",
    "Kayaking": "kayak kayaking",
    "Canoeing": "canoe canoeing",
    "AlpineSki": "alpineski alpineskiing resortskiing resortskiingsnowboarding downhillskiing ski skiing",
    "BackcountrySki": "backcountryski backcountryskiing skitouring",
    "NordicSki": "nordicski crosscountryski crosscountryskiing nordicskiing skateskiing",
    "Snowboard": "snowboard snowboarding",
    "Snowshoe": "snowshoe snowshoeing",
    "WeightTraining": "weighttraining strengthtraining strength traditionalstrengthtraining"
    " functionalstrengthtraining coretraining",
    "Elliptical": "elliptical ellipticaltrainer",
    "StairStepper": "stairstepper stairclimbing stairclimber stairs",
    "HighIntensityIntervalTraining": "hiit highintensityintervaltraining",
    "Crossfit": "crossfit",
    "RockClimbing": "rockclimbing rockclimb climbing indoorclimbing bouldering",
    "Handcycle": "handcycle handcycling",
    "Wheelchair": "wheelchair wheelchairrunpace wheelchairwalkpace",
    "IceSkate": "iceskate iceskating",
    "InlineSkate": "inlineskate inlineskating",
    "StandUpPaddling": "standuppaddling standuppaddleboarding standuppaddle sup",
    "Soccer": "soccer football",
    "Yoga": "yoga",
    "Pilates": "pilates",
    "Workout": "workout generic other training fitnessequipment indoorcardio cardio cardiotraining multisport"
    " incidentdetected uncategorized unknown triathlon duathlon aquathlon swimrun brick transition"
    " swimbikerun mixedcardio crosstraining cooldown preparationandrecovery",
}
_SPORTS = {spelling: sport for sport, spellings in _SPELLINGS.items() for spelling in spellings.split()}

SPORTS = frozenset(_SPELLINGS)
"""The sports that have a spelling here, in Strava's names."""

_FAMILIES = {
    "run": "Run TrailRun VirtualRun",
    "walk": "Walk Hike Snowshoe",
    "ride": "Ride VirtualRide MountainBikeRide GravelRide EBikeRide EMountainBikeRide Handcycle Velomobile",
    "row": "Rowing VirtualRow Kayaking Canoeing StandUpPaddling",
    "ski": "AlpineSki BackcountrySki NordicSki RollerSki Snowboard",
}
_FAMILY = {sport: family for family, sports in _FAMILIES.items() for sport in sports.split()}

ANY_SPORT = "any"
"""The family of records that do not say which sport they are: Garmin's 'generic', Strava's 'Workout', none at all."""


def strava_sport(spelling: str | None) -> str | None:
    """Strava's name of a sport; a spelling that is unknown here stays as it is, without spaces around it."""
    if spelling is None or not spelling.strip():
        return None
    return _SPORTS.get(re.sub("[^a-z0-9]", "", spelling.lower()), spelling.strip())


def family(sport: str | None) -> str:
    """What a sport (in Strava's name) can be confused with: run, walk, ride, row, ski, `ANY_SPORT`, or itself."""
    return ANY_SPORT if sport in (None, "Workout") else _FAMILY.get(str(sport), str(sport))

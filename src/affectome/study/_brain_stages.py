"""The stages that hold spaces against recordings: of a person, and of all people together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from affectome.study._brain import BrainReading
from affectome.study._brain_components import consistency_stage, weights_stage
from affectome.study._brain_group import across_stage, average_stage, group_stage, view_stage
from affectome.study._brain_partition import beyond_controls_stage, partition_stage
from affectome.study._brain_paths import folder_of
from affectome.study._brain_person import between_stage, ceiling_stage, encoding_stage
from affectome.study._brain_reliability import CEILING, halves_stage, people_centres_stage, people_regions_stage
from affectome.study._brain_searchlight import Searching, region_rsa_stage, searchlight_stage
from affectome.study._engine import Stage

__all__ = [
    "encoding_stages",
    "group_stages",
    "partition_stages",
    "reliability_stages",
    "reliable_group_stages",
    "searched_group_stages",
    "searching_stages",
]


def encoding_stages(reading: BrainReading, subject: str) -> list[Stage]:
    """Every space in every voxel of one person, then the spaces against each other, and the ceiling of all."""
    stages = [encoding_stage(reading, subject, space) for space in reading.asked.spaces]
    if len(reading.asked.spaces) > 1:
        stages.append(between_stage(reading, subject))
    return [*stages, ceiling_stage(reading, subject)]


def partition_stages(reading: BrainReading, subject: str, *, shared: bool = True) -> list[Stage]:
    """What spaces share in one person, where that is asked, and what each adds to the controls."""
    stages = []
    if shared and len(reading.asked.spaces) > 1:
        stages.append(partition_stage(reading, subject))
    if reading.asked.controls:
        stages += [beyond_controls_stage(reading, subject, space) for space in reading.asked.spaces]
    return _of_kind("comparison", stages)


def group_stages(reading: BrainReading) -> list[Stage]:
    """All people together, where there are several; of one, a map to turn."""
    asked = reading.asked
    if len(asked.recordings) < 2:
        return [view_stage(reading, who, space) for who in asked.recordings for space in asked.spaces]
    stages = [group_stage(reading), across_stage(reading)]
    for space in asked.spaces:
        stages += [average_stage(reading, space), consistency_stage(reading, space), weights_stage(reading, space)]
    return stages


def searching_stages(reading: BrainReading, subject: str, *, how: Searching) -> list[Stage]:
    """Every centre of one person, all spaces in one pass, and every region."""
    return _of_kind("rsa", [searchlight_stage(reading, subject, how), region_rsa_stage(reading, subject, how)])


def searched_group_stages(reading: BrainReading, *, how: Searching) -> list[Stage]:
    """All people together, where there are several; of one, a map to turn."""
    asked, what = reading.asked, f"{how.statistic.capitalize()} RSA r"
    if len(asked.recordings) < 2:
        stages = [view_stage(reading, who, space, what) for who in asked.recordings for space in asked.spaces]
    else:
        ceiling = folder_of(reading, *CEILING)
        stages = [people_regions_stage(reading, how), group_stage(reading, what, ceiling=ceiling)]
        if asked.controls:
            stages.append(group_stage(reading, f"{what}, controls held constant", beyond_controls=True))
        stages += [average_stage(reading, space, what) for space in asked.spaces]
    return _of_kind("rsa", stages)


def reliability_stages(reading: BrainReading, subject: str, *, how: Searching, centres: bool) -> list[Stage]:
    """The halves of one person's runs."""
    return _of_kind("reliability", [halves_stage(reading, subject, how, centres=centres)])


def reliable_group_stages(reading: BrainReading, *, how: Searching, centres: bool) -> list[Stage]:
    """How well people agree, where there are several."""
    if len(reading.asked.recordings) < 2:
        return []
    stages = [people_regions_stage(reading, how)]
    return _of_kind("reliability", [*stages, people_centres_stage(reading, how)] if centres else stages)


def _of_kind(kind: str, stages: Sequence[Stage]) -> list[Stage]:
    """Under names of their own, so that a results folder holds them beside those of encodings."""
    return [replace(stage, name=f"{kind}/{stage.name}") for stage in stages]

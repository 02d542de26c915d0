"""What is judged: stimuli with ids, captions, videos and named rating spaces, and the public datasets."""

from affectome.stimuli._check import CheckReport, check_stimuli
from affectome.stimuli._datasets import (
    DATASETS,
    HORIKAWA_DUPLICATES,
    N_PRESENTATIONS,
    N_VIDEOS,
    load_cowen_keltner,
    load_horikawa_features,
    load_mind_captioning,
    video_id,
)
from affectome.stimuli._io import MEDIA_SUFFIXES, read_captions, read_stimuli
from affectome.stimuli._set import StimulusSet

__all__ = [
    "DATASETS",
    "HORIKAWA_DUPLICATES",
    "MEDIA_SUFFIXES",
    "N_PRESENTATIONS",
    "N_VIDEOS",
    "CheckReport",
    "StimulusSet",
    "check_stimuli",
    "load_cowen_keltner",
    "load_horikawa_features",
    "load_mind_captioning",
    "read_captions",
    "read_stimuli",
    "video_id",
]

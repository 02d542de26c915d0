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
from affectome.stimuli._fetch import data_folder, fetch_dataset
from affectome.stimuli._frames import ClipFacts, encode_jpeg, probe_clip, sample_frames
from affectome.stimuli._io import MEDIA_SUFFIXES, read_captions, read_stimuli, write_stimuli
from affectome.stimuli._motion import motion_energy
from affectome.stimuli._public import OPENNEURO, PUBLIC_DATASETS, PublicDataset, PublicFile
from affectome.stimuli._set import StimulusSet
from affectome.stimuli._thumbnails import Thumbnail, thumbnails

__all__ = [
    "DATASETS",
    "HORIKAWA_DUPLICATES",
    "MEDIA_SUFFIXES",
    "N_PRESENTATIONS",
    "N_VIDEOS",
    "OPENNEURO",
    "PUBLIC_DATASETS",
    "CheckReport",
    "ClipFacts",
    "PublicDataset",
    "PublicFile",
    "StimulusSet",
    "Thumbnail",
    "check_stimuli",
    "data_folder",
    "encode_jpeg",
    "fetch_dataset",
    "load_cowen_keltner",
    "load_horikawa_features",
    "load_mind_captioning",
    "motion_energy",
    "probe_clip",
    "read_captions",
    "read_stimuli",
    "sample_frames",
    "thumbnails",
    "video_id",
    "write_stimuli",
]

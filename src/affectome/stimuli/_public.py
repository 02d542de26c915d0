"""The public files that can be downloaded: where they lie, their checksums, their terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["OPENNEURO", "PUBLIC_DATASETS", "PublicDataset", "PublicFile"]


@dataclass(frozen=True)
class PublicFile:
    """One file that can be downloaded.

    Attributes
    ----------
    name
        Path below the data folder, with forward slashes.
    url
        Its published address.
    checksum
        ``"algorithm:hexadecimal digits"`` of the published file.
    """

    name: str
    url: str
    checksum: str


@dataclass(frozen=True)
class PublicDataset:
    """Files that are downloaded together.

    Attributes
    ----------
    name
        What ``affectome data fetch`` calls it.
    description
        What it holds, and which call reads it.
    terms
        What is known of its licence, and what to cite.
    files
        Its files, in the order of download.
    """

    name: str
    description: str
    terms: str
    files: tuple[PublicFile, ...]


_HORIKAWA_TERMS = "on the figshare record of Horikawa et al. (2020, iScience); cite the paper"
_FMRI_FILES = (
    (1, 48467059, "cec485616532d5de548c9341b06ec270"),
    (2, 48468622, "6b4baa73fbe24eea1cbb7bb6e4cb6d5a"),
    (3, 48469468, "c1f92231f0c76e26f06b7f52f2cf9f4d"),
    (4, 48471127, "3c2cb332dec0797f1c82b864cf6aa1a9"),
    (5, 48472147, "defb2e73c2302648d8065aeae7a0c0bf"),
)

_TABLE = (
    PublicDataset(
        "cowen-keltner-2017",
        "Ratings of 2,185 emotional videos: 34 categories, 14 dimensions, 600 terms (load_cowen_keltner). The videos "
        "themselves (about 3.5 GB) are not fetched: the authors ask users to request them.",
        "public ratings file of the authors; cite Cowen & Keltner (2017, PNAS)",
        (
            PublicFile(
                "cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv",
                "https://s3-us-west-1.amazonaws.com/emogifs/CowenKeltnerEmotionalVideos.csv",
                "sha256:91dfc5d33d4529e7e42e48e07fcd844a1236f32cb4927dee89767d57be7435ff",
            ),
        ),
    ),
    PublicDataset(
        "mind-captioning",
        "43,920 human captions of the same videos, 20 for each presentation (load_mind_captioning).",
        "no licence is stated, so do not redistribute it; cite Horikawa (MindCaptioning)",
        (
            PublicFile(
                "mind_captioning/caption_ck20.csv",
                "https://raw.githubusercontent.com/horikawa-t/MindCaptioning/main/data/caption/caption_ck20.csv",
                "sha256:633ae47a361f6116aa6c0c145c013a95d70aad30861c95a420a4a05d9c9e3c39",
            ),
        ),
    ),
    PublicDataset(
        "horikawa-2020-features",
        "Category, dimension, semantic and vision features of the 2,196 presentations, in one zip that you unpack "
        "(load_horikawa_features reads what is inside).",
        _HORIKAWA_TERMS,
        (
            PublicFile(
                "horikawa_2020/features.zip",
                "https://ndownloader.figshare.com/files/48630544",
                "md5:63f9721cf0a42173fec9c54e931cbf49",
            ),
        ),
    ),
    PublicDataset(
        "horikawa-2020-fmri",
        "Preprocessed fMRI of five subjects who watched the videos, one bdpy HDF5 file each; one subject alone by "
        "--only fmri_Subject1.h5.",
        _HORIKAWA_TERMS,
        tuple(
            PublicFile(
                f"horikawa_2020/fmri/fmri_Subject{subject}.h5",
                f"https://figshare.com/ndownloader/files/{number}",
                f"md5:{digits}",
            )
            for subject, number, digits in _FMRI_FILES
        ),
    ),
    PublicDataset(
        "horikawa-2020-fmri-tutorial",
        "The fMRI file that the authors made for their tutorials, in the same layout.",
        _HORIKAWA_TERMS,
        (
            PublicFile(
                "horikawa_2020/fmri/fmri_Subject1_for_tutorial.h5",
                "https://figshare.com/ndownloader/files/48642328",
                "md5:94240d42647eeefe62638e31ce0115ff",
            ),
        ),
    ),
    PublicDataset(
        "horikawa-2020-pycortex",
        "Cortical surface of subject 1 for pycortex, in one zip that you unpack.",
        _HORIKAWA_TERMS,
        (
            PublicFile(
                "horikawa_2020/pycortex_Subject1.zip",
                "https://ndownloader.figshare.com/files/48630547",
                "md5:4359d794b583d3dc5576b96764a1f3fc",
            ),
        ),
    ),
)

#: What ``affectome data fetch`` can download, by name.
PUBLIC_DATASETS: Mapping[str, PublicDataset] = MappingProxyType({dataset.name: dataset for dataset in _TABLE})

#: Raw recordings at OpenNeuro, which has clients of its own: named here, not downloaded.
OPENNEURO: Mapping[str, str] = MappingProxyType(
    {
        "ds002425": "raw BIDS recordings of Horikawa et al. (2020)",
        "ds005191": "raw BIDS recordings of MindCaptioning: 2,108 training and 72 x 5 test presentations",
    }
)

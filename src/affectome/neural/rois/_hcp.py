"""The regions of the emotion-video studies: areas of HCP-MMP1 and ten structures below the cortex."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["HCP_GROUPS", "SUBCORTICAL"]

# fmt: off
_VISUAL = (  # early, then association visual areas: 26 in each hemisphere
    "V1", "V2", "V3", "V4", "V3A", "V3B", "V3CD", "V4t", "V6", "V6A", "V7", "V8", "FST",
    "IPS1", "FFC", "LO1", "LO2", "LO3", "PH", "PIT", "MT", "MST", "VMV1", "VMV2", "VMV3", "VVC",
)
# fmt: on

#: Cortical groups and their HCP-MMP1 areas (Glasser 2016), each meant in both hemispheres. The first thirteen are
#: those of Horikawa 2020, with Insula and ACC named as their areas say: the published table has the two swapped.
#: MST (also part of VC), TF and VLPFC are named by the paper on affective geometry, which lists no areas for VLPFC:
#: ours are the eight of Glasser's inferior frontal cortex.
HCP_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "VC": _VISUAL,
        "TPJ": ("TPOJ1", "TPOJ2", "TPOJ3"),
        "IPL": ("PFm", "PGi", "PGs"),
        "PC": ("7m", "v23ab", "d23ab", "31pv", "31pd", "31a", "PCV"),
        "STS": ("STSda", "STSdp", "STSva", "STSvp"),
        "TE": ("TE1a", "TE1m", "TE1p", "TE2a"),
        "MTC": ("EC", "H"),
        "DLPFC": ("9-46d", "46", "a9-46v", "p9-46v"),
        "DMPFC": ("d32", "9m", "10d"),
        "VMPFC": ("10r", "10v", "p32", "s32"),
        "OFC": ("OFC", "pOFC"),
        "ACC": ("p32pr", "a32pr", "p24", "a24pr", "a24"),
        "Insula": ("AAIC", "MI", "PoI1", "PoI2", "FOP2", "FOP3", "Ig", "OP2-3"),
        "MST": ("MST",),
        "TF": ("TF",),
        "VLPFC": ("44", "45", "IFJa", "IFJp", "IFSa", "IFSp", "47l", "p47r"),
    }
)

#: Structures below the cortex. Spellings of one member stand between bars: the first that a recording has counts.
#: Where it has only the masks of Horikawa 2020, their accumbens is a mask named Brodmann area 34.
SUBCORTICAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "thalamus": ("Thalamus|Thalamus-Proper",),
        "hippocampus": ("Hippocampus|hyppocampus",),
        "hypothalamus": ("Hypothalamus",),
        "pallidum": ("Pallidum",),
        "brainstem": ("Brainstem|Brain-Stem",),
        "caudate": ("Caudate",),
        "putamen": ("Putamen",),
        "accumbens": ("Accumbens|Accumbens-area|nuc_accum|brodmann_area_34",),
        "amygdala": ("Amygdala",),
        "cerebellum": ("Cerebellum|Cerebellum-Cortex",),
    }
)

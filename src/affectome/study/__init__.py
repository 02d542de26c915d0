"""A whole study from one file: its schema, its stages, and what is stale."""

from affectome.study._brain import Brain
from affectome.study._brain_run import BrainResult, compare_brain, encode_brain, reliability_brain, search_brain
from affectome.study._brain_searchlight import Searching
from affectome.study._engine import Stage, StageRecord, StageState
from affectome.study._init import init_study, study_json_schema
from affectome.study._interpret import InterpretationResult, compare_spaces, interpret_spaces
from affectome.study._interpretation import Interpretation
from affectome.study._recordings import RecordingSource, found_recordings, recording_sources
from affectome.study._run import StudyResult, run_study, study_status
from affectome.study._schema import Study, read_study

__all__ = [
    "Brain",
    "BrainResult",
    "Interpretation",
    "InterpretationResult",
    "RecordingSource",
    "Searching",
    "Stage",
    "StageRecord",
    "StageState",
    "Study",
    "StudyResult",
    "compare_brain",
    "compare_spaces",
    "encode_brain",
    "found_recordings",
    "init_study",
    "interpret_spaces",
    "read_study",
    "recording_sources",
    "reliability_brain",
    "run_study",
    "search_brain",
    "study_json_schema",
    "study_status",
]

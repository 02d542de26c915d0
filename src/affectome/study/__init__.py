"""A whole study from one file: its schema, its stages, and what is stale."""

from affectome.study._engine import Stage, StageRecord, StageState
from affectome.study._interpret import InterpretationResult, compare_spaces, interpret_spaces
from affectome.study._interpretation import Interpretation
from affectome.study._run import StudyResult, run_study, study_status
from affectome.study._schema import Study, read_study

__all__ = [
    "Interpretation",
    "InterpretationResult",
    "Stage",
    "StageRecord",
    "StageState",
    "Study",
    "StudyResult",
    "compare_spaces",
    "interpret_spaces",
    "read_study",
    "run_study",
    "study_status",
]

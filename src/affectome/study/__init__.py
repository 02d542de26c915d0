"""A whole study from one file: its schema, its stages, and what is stale."""

from affectome.study._engine import Stage, StageRecord, StageState
from affectome.study._run import StudyResult, run_study, study_status
from affectome.study._schema import Study, read_study

__all__ = ["Stage", "StageRecord", "StageState", "Study", "StudyResult", "read_study", "run_study", "study_status"]

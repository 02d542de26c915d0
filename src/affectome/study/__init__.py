"""A whole study from one file: its schema, its stages, and what is stale."""

from affectome.study._engine import Stage, StageRecord
from affectome.study._run import StudyResult, run_study
from affectome.study._schema import Study, read_study

__all__ = ["Stage", "StageRecord", "Study", "StudyResult", "read_study", "run_study"]

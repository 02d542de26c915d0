"""The gap: which space follows choices, which the brain, and would another analysis have said the same."""

from affectome.gap._choices import ChoiceScores, score_choices
from affectome.gap._claims import only_predicted, pool_people, state_claims
from affectome.gap._person import SPECIFICATIONS, PersonScores, compare_geometries, score_person
from affectome.gap._sizes import cut_space, principal_scores, space_rank
from affectome.gap._specifications import SpecificationCurve, specification_curve

__all__ = [
    "SPECIFICATIONS",
    "ChoiceScores",
    "PersonScores",
    "SpecificationCurve",
    "compare_geometries",
    "cut_space",
    "only_predicted",
    "pool_people",
    "principal_scores",
    "score_choices",
    "score_person",
    "space_rank",
    "specification_curve",
    "state_claims",
]

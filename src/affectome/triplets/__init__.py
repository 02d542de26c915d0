"""The questions: which three stimuli are shown together, in which slots, and what was answered."""

from affectome.triplets._human import CHOICE_FORMS, ChoiceForm, read_answers
from affectome.triplets._io import TRIPLET_FORMATS, read_triplets, triplet_table, write_triplets
from affectome.triplets._sampling import DESIGNS, Design, sample_triplets
from affectome.triplets._set import (
    UNANSWERED,
    TripletSet,
    check_choice,
    check_indices,
    check_probabilities,
    odd_last,
    triplet_keys,
)
from affectome.triplets._split import split_triplets

__all__ = [
    "CHOICE_FORMS",
    "DESIGNS",
    "TRIPLET_FORMATS",
    "UNANSWERED",
    "ChoiceForm",
    "Design",
    "TripletSet",
    "check_choice",
    "check_indices",
    "check_probabilities",
    "odd_last",
    "read_answers",
    "read_triplets",
    "sample_triplets",
    "split_triplets",
    "triplet_keys",
    "triplet_table",
    "write_triplets",
]

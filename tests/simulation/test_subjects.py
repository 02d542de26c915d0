import numpy as np
import pandas as pd
import pytest

from affectome import InputError, simulate_emotions
from affectome.simulation import PLACES, simulate_bold, simulate_subjects


@pytest.fixture(scope="module")
def spaces():
    return simulate_emotions(400, 6, seed=0).stimuli.spaces


def _region(recording, area):
    return recording.rois[f"hcp180_r_lh.L_{area}_ROI"] | recording.rois[f"hcp180_r_rh.R_{area}_ROI"]


def _explained(recording, space, voxels):
    """Share of response variance that a least-squares fit explains, less what chance gives."""
    shown = space.loc[recording.trials["stimulus"]].to_numpy(np.float64)
    design = np.column_stack([shown, np.ones(len(shown))])
    y = recording.responses[:, voxels].astype(np.float64)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    n, p = len(y), np.linalg.matrix_rank(design)
    return float(1 - (left**2).mean() / y.var(axis=0).mean() * (n - 1) / (n - p))


def test_areas_follow_the_spaces_they_were_told_to(spaces):
    world = simulate_subjects(
        spaces, {"MST": {"planted": 0.3}, "V1": {}, "PGi": {"dimension": 0.15}}, autocorrelation=0, seed=1
    )
    for recording in world.recordings:
        assert _explained(recording, spaces["planted"], _region(recording, "MST")) == pytest.approx(0.3, abs=0.04)
        assert _explained(recording, spaces["planted"], _region(recording, "V1")) == pytest.approx(0, abs=0.02)
        assert _explained(recording, spaces["dimension"], _region(recording, "PGi")) == pytest.approx(0.15, abs=0.04)
    assert world.truth.loc["MST"].to_dict() == {"planted": 0.3, "category": 0.0, "dimension": 0.0}


def test_every_stimulus_is_shown_in_one_run_of_each_person_in_an_order_of_their_own(spaces):
    world = simulate_subjects(spaces, {"V1": {}}, n_runs=9, repeats=2, seed=0)
    orders = [recording.trials["stimulus"].tolist() for recording in world.recordings]
    assert len({tuple(order) for order in orders}) == 3
    for recording in world.recordings:
        shown = recording.trials.groupby("stimulus")["run"].agg(["size", "nunique"])
        assert (shown["size"] == 2).all()
        assert (shown["nunique"] == 1).all()
        assert sorted(shown.index) == sorted(spaces["planted"].index)
        assert recording.trials["run"].is_monotonic_increasing
        assert recording.trials["run"].value_counts().max() - recording.trials["run"].value_counts().min() <= 2


def test_noise_is_autocorrelated_within_runs_alone(spaces):
    recording = simulate_subjects(spaces, {"V1": {}}, n_subjects=1, n_runs=8, autocorrelation=0.5, seed=0).recordings[0]
    y, run = recording.responses.astype(np.float64), recording.trials["run"].to_numpy()
    same = run[1:] == run[:-1]
    products = y[1:] * y[:-1]
    assert products[same].mean() == pytest.approx(0.5, abs=0.02)
    assert products[~same].mean() == pytest.approx(0, abs=0.15)
    assert y.std() == pytest.approx(1, abs=0.02)


def test_people_agree_as_much_as_was_planted(spaces):
    def agreement(value):
        world = simulate_subjects(
            spaces, {"MST": {"planted": 0.9}}, n_subjects=2, autocorrelation=0, agreement=value, seed=3
        )
        fitted = []
        for recording in world.recordings:
            shown = spaces["planted"].loc[recording.trials["stimulus"]].to_numpy(np.float64)
            shown = (shown - shown.mean(axis=0)) / shown.std(axis=0)
            weights = np.linalg.lstsq(shown, recording.responses.astype(np.float64), rcond=None)[0]
            fitted.append(weights[:, _region(recording, "MST")].ravel())
        return np.corrcoef(*fitted)[0, 1]

    assert agreement(1.0) > 0.95
    assert abs(agreement(0.0)) < 0.5
    assert agreement(0.0) < agreement(0.6) < agreement(1.0)


def test_areas_of_a_person_move_against_the_atlas(spaces):
    world = simulate_subjects(
        spaces, {"MST": {"planted": 0.9}}, n_subjects=6, autocorrelation=0, agreement=1.0, shift=8.0, seed=5
    )
    grid = world.recordings[0].geometry
    centres = []
    for recording in world.recordings:
        assert recording.geometry is grid
        assert np.array_equal(_region(recording, "MST"), _region(world.recordings[0], "MST"))
        explained = np.array([_explained(recording, spaces["planted"], [v]) for v in range(recording.n_voxels)])
        centres.append(np.abs(grid.coordinates()[explained > 0.6]).mean(axis=0))
    moved = np.array(centres) - np.abs(np.array(PLACES["MST"]))
    assert np.abs(moved).max() <= 8 + 4
    assert moved.std(axis=0).max() > 1


def test_a_seed_is_a_world_and_a_person_does_not_depend_on_how_many_there_are(spaces):
    areas = {"MST": {"planted": 0.3}}
    few, many = (simulate_subjects(spaces, areas, n_subjects=n, seed=2).recordings for n in (1, 3))
    assert np.array_equal(few[0].responses, many[0].responses)
    other = simulate_subjects(spaces, areas, n_subjects=1, seed=3).recordings
    assert not np.array_equal(few[0].responses, other[0].responses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"areas": {"V9": {}}}, "no area 'V9' here; choose among V1"),
        ({"areas": {"V1": {"mllm": 0.1}}}, "follows 'mllm', which is not among the spaces"),
        ({"areas": {"V1": {"planted": 0.7, "category": 0.5}}}, "shares of V1 are not between 0 and 1"),
        ({"areas": {}}, "nothing to simulate"),
        ({"n_runs": 500}, "400 stimuli cannot fill 500 runs"),
        ({"repeats": 0}, "cannot be simulated"),
        ({"autocorrelation": 1.0}, "cannot be simulated"),
    ],
)
def test_what_cannot_be_simulated_is_named(spaces, change, message):
    settings = {"areas": {"V1": {}}, "seed": 0, **change}
    with pytest.raises(InputError, match=message):
        simulate_subjects(spaces, **settings)


def test_time_series_hold_the_responses(spaces):
    recording = simulate_subjects(spaces, {"V1": {"planted": 0.5}}, n_subjects=1, n_runs=8, seed=0).recordings[0]
    runs = simulate_bold(recording, gap=12.0, noise=0.0, drift=0.0, seed=0)
    assert [run.run for run in runs] == list(range(1, 9))
    events = pd.concat([run.events for run in runs], ignore_index=True)
    assert events["stimulus"].tolist() == recording.trials["stimulus"].tolist()
    first = runs[0]
    peaks = ((first.events["onset"] + 7) / first.repetition_time).round().astype(int)  # 4 s shown: the peak at 7 s
    found = first.series[peaks] - 100
    truth = recording.responses[: len(peaks)]
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.98
    slow = simulate_bold(recording, noise=0.0, drift=2.0, signal=0.0, seed=0)[0].series
    assert np.ptp(slow, axis=0).mean() == pytest.approx(4, abs=0.1)
    with pytest.raises(InputError, match="must not be negative"):
        simulate_bold(recording, repetition_time=0, seed=0)

"""Models held against people: brute force, theory, and simulated people whose accuracy is known."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError, TripletSet, sample_triplets
from affectome.behavior import choice_agreement, choice_consistency

IDS = [f"s{k:02d}" for k in range(40)]


def draw(questions, chances, seed):
    """Answers in which the k-th of a triplet's sorted stimuli is called odd with chances[triplet key][k]."""
    rng = np.random.default_rng(seed)
    order = questions.triplets.argsort(axis=1)
    _, triplet = np.unique(questions.keys(), return_inverse=True)
    p = chances[triplet]
    place = (rng.random(len(p))[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    return questions.with_answers(order[np.arange(len(p)), place])


def guess(questions, seed):
    return questions.with_answers(np.random.default_rng(seed).integers(0, 3, len(questions)))


def shuffled(trials, seed):
    """The same answers in another order of rows, slots and ids, with stimuli nobody else knows."""
    rng = np.random.default_rng(seed)
    ids = [*trials.ids, f"extra{seed}"]
    new = rng.permutation(len(ids))
    slots = np.array([rng.permutation(3) for _ in range(len(trials))])
    rows = np.take_along_axis(new[trials.triplets], slots, axis=1)
    choice = np.where(trials.answered, (slots == trials.choice[:, None]).argmax(axis=1), -1)
    names = [ids[i] for i in np.argsort(new)]
    return TripletSet(rows, names, choice, metadata=trials.metadata)[rng.permutation(len(trials))]


def odd_ones(trials):
    """Ids called odd, by the set of ids shown."""
    found = {}
    for row, slot in zip(trials.triplets.tolist(), trials.choice.tolist(), strict=True):
        if slot >= 0:
            found.setdefault(frozenset(trials.ids[i] for i in row), []).append(trials.ids[row[slot]])
    return found


def by_hand(people, models):
    """Every statistic by loops over pairs of answers."""
    human, said = odd_ones(people), {name: odd_ones(trials) for name, trials in models.items()}
    common = [t for t in human if all(t in answers for answers in said.values())]
    got = {name: {"agreement": [], "on_repeated": []} for name in models}
    lower, upper, pairs = [], [], []
    for t in common:
        for i, odd in enumerate(human[t]):
            others = human[t][:i] + human[t][i + 1 :]
            for name, answers in said.items():
                hit = np.mean([odd == other for other in answers[t]])
                got[name]["agreement"].append(hit)
                if others:
                    got[name]["on_repeated"].append(hit)
            if others:
                counts = {x: others.count(x) for x in t}
                modes = [x for x in t if counts[x] == max(counts.values())]
                lower.append((odd in modes) / len(modes))
                upper.append(max(human[t].count(x) for x in t) / len(human[t]))
                pairs.append(np.mean([odd == other for other in others]))
    return got, np.mean(lower), np.mean(upper), np.mean(pairs), len(common)


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=15)
def test_every_statistic_equals_loops_over_answers_whatever_rows_slots_and_ids(seed):
    rng = np.random.default_rng(seed)
    triplets = sample_triplets(IDS[:8], 40, seed=seed)
    pick = [triplets[np.sort(rng.integers(0, 40, n))] for n in (90, 70, 110)]
    people, *models = (guess(p, seed + k) for k, p in enumerate(pick))
    people = people.with_answers(np.where(rng.random(90) < 0.1, -1, people.choice))
    models = {"a": shuffled(models[0], 1), "b": shuffled(models[1], 2)}
    result = choice_consistency(shuffled(people, 3), models, n_boot=5, seed=0)
    got, lower, upper, pairs, n = by_hand(people, models)
    table = result.table.set_index("name")
    assert result.n_triplets == n
    for name, known in got.items():
        for column, hits in known.items():
            assert table.loc[name, column] == pytest.approx(np.mean(hits), abs=1e-12)
        score = (np.mean(known["on_repeated"]) - 1 / 3) / (upper - 1 / 3)
        assert table.loc[name, "of_upper_ceiling"] == pytest.approx(score, abs=1e-10)
    assert (result.ceiling.lower, result.ceiling.upper) == pytest.approx((lower, upper), abs=1e-12)
    assert table.loc["people", "agreement"] == pytest.approx(pairs, abs=1e-12)
    assert result.differences["value"].tolist() == pytest.approx(
        [table.loc["a", "agreement"] - table.loc["b", "agreement"]], abs=1e-12
    )


def test_where_all_answered_once_it_is_the_agreement_of_systems_interval_included():
    questions = sample_triplets(IDS, 800, seed=0)
    a, b = guess(questions, 1), guess(questions, 2)
    want = choice_agreement({"a": a, "b": b}, n_boot=300, seed=5).table.iloc[0]
    got = choice_consistency(a, {"b": shuffled(b, 1)}, n_boot=300, seed=5)
    row = got.table.iloc[0]
    assert (row.agreement, row.ci_low, row.ci_high) == pytest.approx((want.value, want.ci_low, want.ci_high), abs=1e-12)
    assert got.ceiling is None and row[["of_lower_ceiling", "of_upper_ceiling", "on_repeated"]].isna().all()
    assert got.table["kind"].tolist() == ["model"]
    assert got.warnings == (
        "No triplet was answered twice by people, so there is no noise ceiling and no chance-corrected score.",
    )


@pytest.mark.parametrize(("repeats", "upper"), [(20, 0.444), (3, 17 / 27), (2, 2 / 3)])
def test_pure_guessing_gives_the_known_bracket_and_no_score(repeats, upper):
    questions = sample_triplets(200, 20_000, design="repeated", repeats=repeats, seed=0)
    result = choice_consistency(guess(questions, 1), {"m": guess(questions, 2)}, n_boot=50, seed=0)
    assert result.ceiling.upper == pytest.approx(upper, abs=0.003)
    assert result.ceiling.lower == pytest.approx(1 / 3, abs=0.006)
    row = result.table.iloc[0]
    assert row.ci_low < 1 / 3 < row.ci_high
    assert row.of_upper_ceiling == pytest.approx(0, abs=0.02)
    assert not np.isfinite([row.of_lower_ceiling_ci_low, row.of_lower_ceiling_ci_high]).any()
    assert any("lower end of the human ceiling" in sentence for sentence in result.warnings)
    assert not np.isinf(result.table.select_dtypes("number")).any(axis=None)


def test_a_ceiling_below_chance_gives_nan_and_says_so():
    people = TripletSet([[0, 1, 2]] * 3, IDS[:3], choice=[0, 1, 2])  # all differ: leave-one-out is 0
    result = choice_consistency(people, {"m": people}, n_boot=10, seed=0)
    assert (result.ceiling.lower, result.ceiling.upper) == pytest.approx((0, 1 / 3))
    assert result.table[["of_lower_ceiling", "of_upper_ceiling"]].isna().all(axis=None)
    assert "is not above chance" in result.warnings[0]


def test_the_best_possible_model_lies_in_the_bracket_and_a_guess_scores_nothing():
    """For answers with Dirichlet(1,1,1) chances, naming the likeliest agrees in 11/18 and two people in 1/2."""
    questions = sample_triplets(200, 5_000, design="repeated", repeats=9, seed=1)
    chances = np.random.default_rng(0).dirichlet([1, 1, 1], 5_000)
    once = questions[questions.block == 0]
    models = {"best": draw(once, np.eye(3)[chances.argmax(axis=1)], 2), "guess": guess(once, 3)}
    result = choice_consistency(draw(questions, chances, 1), models, n_boot=400, seed=0)
    table = result.table.set_index("name")
    assert table.loc["best", "agreement"] == pytest.approx(11 / 18, abs=0.008)
    assert result.ceiling.lower < table.loc["best", "agreement"] < result.ceiling.upper
    assert result.ceiling.lower_ci_low < result.ceiling.lower < result.ceiling.lower_ci_high < result.ceiling.upper
    assert table.loc["people", "agreement"] == pytest.approx(1 / 2, abs=0.008)
    assert table.loc["best", "of_upper_ceiling"] < 1 < table.loc["best", "of_lower_ceiling"]
    assert table.loc["guess", "of_lower_ceiling_ci_low"] < 0 < table.loc["guess", "of_lower_ceiling_ci_high"]
    plain = table.loc["guess", "agreement"] / result.ceiling.lower
    assert plain > 0.5 > abs(table.loc["guess", "of_lower_ceiling"])  # which is why it is not divided plainly


def test_intervals_over_triplets_cover_the_truth_as_often_as_they_say():
    """400 small studies: 150 triplets x 4 answers. Monte-Carlo error of a .95 coverage over 400 is .011."""
    truth = {"best": 11 / 18, "guess": 1 / 3, "people": 1 / 2, "difference": 11 / 18 - 1 / 3}
    questions = sample_triplets(60, 150, design="repeated", repeats=4, seed=0)
    once = questions[questions.block == 0]
    covered = dict.fromkeys(truth, 0)
    for study in range(400):
        chances = np.random.default_rng(study).dirichlet([1, 1, 1], 150)
        models = {"best": draw(once, np.eye(3)[chances.argmax(axis=1)], 1), "guess": guess(once, 10_000 + study)}
        result = choice_consistency(draw(questions, chances, 20_000 + study), models, n_boot=400, seed=study)
        rows = {row.name: (row.ci_low, row.ci_high) for row in result.table.itertuples(index=False)}
        rows["difference"] = tuple(result.differences[["ci_low", "ci_high"]].iloc[0])
        for name, (low, high) in rows.items():
            covered[name] += low <= truth[name] <= high
    for name, count in covered.items():
        assert count / 400 == pytest.approx(0.95, abs=3 * 0.011), name


def people_table(person_accuracy, n_each, seed):
    """People who name the first stimulus (the truth) with an accuracy of their own, else one of the others."""
    n = len(person_accuracy) * n_each
    questions = sample_triplets(100, n, seed=seed)
    person = np.repeat(np.arange(len(person_accuracy), dtype=np.int32), n_each)
    rng = np.random.default_rng(seed)
    right = rng.random(n) < np.asarray(person_accuracy)[person]
    truth = questions.triplets.argmin(axis=1)
    choice = np.where(right, truth, (truth + rng.integers(1, 3, n)) % 3)
    names = {"participants": [f"p{k}" for k in range(len(person_accuracy))]}
    return TripletSet(questions.triplets, questions.ids, choice, block=person, metadata=names), questions.with_answers(
        truth
    )


def test_resampling_people_covers_a_population_in_which_people_differ():
    """300 studies of 25 people, accuracies uniform on .3..1 (mean .65): triplets alone are too sure of themselves."""
    covered = {"participants": 0, "triplets": 0}
    for study in range(300):
        rng = np.random.default_rng(study)
        people, model = people_table(rng.uniform(0.3, 1, 25), 100, study)
        for resample in covered:
            result = choice_consistency(people, {"m": model}, n_boot=400, seed=study, resample=resample)
            row = result.table.iloc[0]
            covered[resample] += row.ci_low <= 0.65 <= row.ci_high
    assert covered["participants"] / 300 == pytest.approx(0.935, abs=0.045)  # 25 units: a little below .95
    assert covered["triplets"] / 300 < 0.75


def test_interval_over_people_has_the_width_of_their_spread_and_says_when_they_are_few():
    accuracy = np.linspace(0.4, 0.9, 40)
    people, model = people_table(accuracy, 400, 0)
    result = choice_consistency(people, {"m": model}, n_boot=5000, seed=0, resample="participants")
    hits = (people.choice == model.choice).reshape(40, 400).mean(axis=1)
    row = result.table.iloc[0]
    assert (row.ci_high - row.ci_low) / 2 == pytest.approx(1.96 * hits.std() / np.sqrt(40), rel=0.06)
    few = choice_consistency(people[people.block < 5], {"m": model}, n_boot=10, seed=0, resample="participants")
    assert "The intervals resample only 5 people and are rough." in few.warnings


def test_answers_of_one_person_to_one_triplet_are_counted_and_said():
    names = {"participants": ["x", "y"]}
    people = TripletSet([[0, 1, 2], [2, 1, 0], [0, 1, 2]], IDS[:3], [0, 2, 0], block=[0, 0, 1], metadata=names)
    (sentence,) = choice_consistency(people, {"m": people[:1]}, n_boot=5, seed=0).warnings
    assert sentence.startswith("1 answers repeat a triplet that the same person had answered before")


@pytest.mark.parametrize("repeats", [1, 5])
def test_slots_drawn_at_random_give_a_uniform_p(repeats):
    p = []
    for study in range(400):
        questions = sample_triplets(40, 120, design="repeated", repeats=repeats, seed=study)
        people = draw(questions, np.random.default_rng(study).dirichlet([0.6] * 3, 120), study)
        model = guess(shuffled(questions[questions.block == 0], study), study)
        p.append(choice_consistency(people, {"m": model}, n_boot=1, seed=0).slots["p"].iloc[0])
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_the_test_of_slots_is_pearsons_where_everybody_answers_once():
    questions = sample_triplets(40, 500, seed=0)
    people, model = guess(questions, 1), guess(shuffled(questions, 2), 3)
    row = choice_consistency(people, {"m": model}, n_boot=1, seed=0).slots.iloc[0]
    human = odd_ones(people)
    stood = [
        [model.ids[i] for i in shown].index(human[frozenset(model.ids[i] for i in shown)][0])
        for shown in model.triplets.tolist()
    ]
    counts = np.bincount(stood, minlength=3)
    assert row[["slot_a", "slot_b", "slot_c"]].tolist() == pytest.approx((counts / 500).tolist())
    assert (row.chi2, row.p) == pytest.approx(tuple(stats.chisquare(counts)))


def test_a_model_asked_in_the_order_of_an_odd_last_file_is_called_out_with_numbers():
    questions = sample_triplets(IDS, 600, seed=0)
    people = guess(questions, 1)
    leaky = TripletSet(people.odd_last(), IDS, choice=np.r_[np.full(450, 2), np.zeros(150)])
    result = choice_consistency(people, {"fair": guess(questions, 3), "leaky": leaky}, n_boot=10, seed=0)
    slots = result.slots.set_index("name")
    assert slots.loc["leaky", ["slot_c", "by_slot_alone"]].tolist() == [1, 0.75]
    assert result.table.set_index("name").loc["leaky", "agreement"] == 0.75  # all of it comes from the slot
    assert slots.loc["leaky", "chi2"] == pytest.approx(1200)
    sentences = [sentence for sentence in result.warnings if "slot" in sentence.lower()]
    assert len(sentences) == 1
    assert sentences[0].startswith(
        "Slots and answers are confounded for 'leaky': what people called odd stood in slot c of 100.0% of its trials"
    )
    assert "would agree in 75.0%" in sentences[0]


def test_an_order_unknown_matters_for_models_and_not_for_people():
    questions = sample_triplets(IDS, 100, design="repeated", repeats=2, seed=0)
    unknown = {"order_shown": "unknown"}
    people = questions.with_answers(np.zeros(200), metadata=unknown)
    known = choice_consistency(people, {"m": questions.with_answers(np.zeros(200))}, n_boot=10, seed=0)
    assert not any("order" in sentence for sentence in known.warnings)
    result = choice_consistency(people, {"m": people}, n_boot=10, seed=0)
    assert "The order in which 'm' was shown the stimuli is unknown" in result.warnings[-1]
    assert result.slots[["slot_a", "chi2", "p", "by_slot_alone"]].isna().all(axis=None)


def test_coverage_says_what_matched_and_all_are_compared_on_the_same_triplets():
    questions = sample_triplets(IDS, 300, seed=0)
    people = guess(questions, 1)[:200]
    models = {"all": guess(questions, 2), "half": guess(questions, 3)[100:]}
    models["half"] = models["half"].with_answers(np.where(np.arange(200) < 10, -1, models["half"].choice))
    result = choice_consistency(people, models, n_boot=10, seed=0)
    assert result.coverage.to_numpy().tolist() == [
        ["people", 200, 200, 200, 90, 90, 110],
        ["all", 300, 300, 300, 200, 90, 210],
        ["half", 200, 190, 190, 90, 90, 100],
    ]
    assert (result.n_triplets, result.n_answers) == (90, 90)
    assert (
        "All are compared on the 90 triplets that every model answered; of the 200 that people share with 'all', "
        "110 are left out." in result.warnings
    )
    same = (people.choice == models["all"].choice[:200])[110:]
    assert result.table["agreement"].iloc[0] == pytest.approx(same.mean())


def test_nothing_in_common_and_wrong_settings_are_refused():
    questions = sample_triplets(IDS, 300, seed=0)
    people = guess(questions, 1)
    other = TripletSet(people.triplets, [f"x{k}" for k in range(40)], people.choice)
    with pytest.raises(InputError, match="people and 'm' have no answered triplet in common; ask the model"):
        choice_consistency(people, {"m": other}, seed=0)
    with pytest.raises(InputError, match="people and 'm' have no answered"):
        choice_consistency(people, {"m": questions}, seed=0)
    with pytest.raises(InputError, match="no triplet was answered by people and by every model"):
        choice_consistency(people, {"m": people[:150], "n": people[150:]}, seed=0)
    with pytest.raises(InputError, match="no model is given"):
        choice_consistency(people, {}, seed=0)
    with pytest.raises(InputError, match="make no interval"):
        choice_consistency(people, {"m": people}, n_boot=0, seed=0)
    with pytest.raises(InputError, match="resample='stimuli' is unknown"):
        choice_consistency(people, {"m": people}, seed=0, resample="stimuli")
    with pytest.raises(InputError, match="does not say who answered"):
        choice_consistency(people, {"m": people}, seed=0, resample="participants")


def test_seed_decides_the_intervals_alone_and_rows_do_not():
    questions = sample_triplets(IDS, 200, design="repeated", repeats=3, seed=0)
    people, models = guess(questions, 1), {"a": guess(questions, 2), "b": guess(questions, 3)}
    one = choice_consistency(people, models, n_boot=100, seed=0)
    again = choice_consistency(
        shuffled(people, 1), {name: shuffled(m, 2) for name, m in models.items()}, n_boot=100, seed=0
    )
    other = choice_consistency(people, models, n_boot=100, seed=1)
    pd.testing.assert_frame_equal(one.table, again.table)
    assert one.table["agreement"].equals(other.table["agreement"])
    assert not one.table["ci_low"].equals(other.table["ci_low"])


def test_differences_are_paired():
    """Two models that err on the same triplets differ by less than either interval suggests."""
    questions = sample_triplets(IDS, 1000, seed=0)
    people, base = guess(questions, 1), guess(questions, 2)
    near = base.with_answers(np.where(np.arange(1000) < 950, base.choice, guess(questions, 3).choice))
    models = {"a": base, "b": near, "c": guess(questions, 4)}
    result = choice_consistency(people, models, seed=0)
    width = (result.differences["ci_high"] - result.differences["ci_low"]).tolist()
    assert list(zip(result.differences["first"], result.differences["second"], strict=True)) == list(
        combinations("abc", 2)
    )
    assert width[0] < 0.3 * width[1]
    hits = {name: people.choice == m.choice for name, m in models.items()}
    spread = (hits["a"].astype(float) - hits["b"]).std()
    assert width[0] / 2 == pytest.approx(1.96 * spread / np.sqrt(1000), rel=0.1)

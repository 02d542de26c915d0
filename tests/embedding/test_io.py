"""Weight files of SPoSE and VICE programs, written here in their layouts, come back as what they say."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import savemat

from affectome.embedding import WEIGHT_OUTPUTS, Weights, read_weights, write_weights
from affectome.errors import EnvironmentFailure, InputError

N, P = 12, 4
IDS = [f"clip {k}" for k in range(N)]


@pytest.fixture
def loc():
    """Means with a few small negative ones, the last component vanished."""
    rng = np.random.default_rng(0)
    values = rng.gamma(0.4, 0.5, (N, P)) * [1.0, 2.0, 0.5, 0.0] - rng.uniform(0, 0.01, (N, P))
    return values.astype(np.float32)


@pytest.fixture
def scale():
    return np.random.default_rng(1).uniform(0.01, 0.3, (N, P)).astype(np.float32)


def space_of(values):
    return pd.DataFrame(values, index=pd.Index(IDS, name="id"), columns=[f"c{k}" for k in range(values.shape[1])])


FORMS = {
    "spaces": ("w.txt", " ", "%.18e"),
    "tabs": ("w.tsv", "\t", "%.9g"),
    "commas": ("w.csv", ",", "%.9g"),
    "comma and space": ("w.txt", ", ", "%.9g"),
}


@pytest.mark.parametrize(("name", "separator", "form"), FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_text_matrix_is_read_either_way_round_by_the_number_of_ids(tmp_path, loc, name, separator, form, turned):
    np.savetxt(tmp_path / name, loc.T if turned else loc, delimiter=separator, fmt=form)
    read = read_weights(tmp_path / name, ids=IDS)
    np.testing.assert_array_equal(read.values, loc)
    assert (read.transposed, read.ids, read.scale) == (turned, tuple(IDS), None)
    assert read.names == ("component 01", "component 02", "component 03", "component 04")
    assert (read.n_negative, read.lowest) == ((loc < 0).sum(), loc.min())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_an_npy_matrix_of_any_numbers_is_read(tmp_path, loc, dtype):
    np.save(tmp_path / "weights_sorted.npy", loc.astype(dtype))
    read = read_weights(tmp_path / "weights_sorted.npy", ids=N)
    np.testing.assert_array_equal(read.values, loc.astype(dtype).astype(np.float32))
    assert read.values.dtype == np.float32 and read.values.flags.c_contiguous
    assert read.ids == tuple(str(k) for k in range(N))


NPZ = {  # the names under which programs of the family keep means and deviations
    "VICE, pruned": ("pruned_loc", "pruned_scale"),
    "VICE, complete": ("loc", "scale"),
    "VICE, early": ("W_loc", "W_scale"),
    "of networks, pruned": ("pruned_q_mu", "pruned_q_var"),
    "of networks, complete": ("q_mu", "q_var"),
}


@pytest.mark.parametrize(("mean", "deviation"), NPZ.values(), ids=NPZ)
def test_an_archive_gives_means_and_deviations(tmp_path, loc, scale, mean, deviation):
    np.savez_compressed(tmp_path / "p.npz", **{mean: loc, deviation: scale})
    read = read_weights(tmp_path / "p.npz")  # the layout says that stimuli are in rows
    np.testing.assert_array_equal(read.values, loc)
    np.testing.assert_array_equal(read.scale, scale)
    assert (read.array, read.transposed) == (mean, False)


def test_pruned_parameters_come_before_complete_ones_and_the_key_asks_for_others(tmp_path, loc, scale):
    made = {"q_mu": loc, "q_var": scale, "pruned_q_mu": loc[:, :3], "pruned_q_var": scale[:, :3], "embedding": loc + 1}
    # Beside them that program keeps its settings, among them Python objects, which must not be touched.
    np.savez(tmp_path / "parameters.npz", **made, lr=0.001, logger=np.array([object()], dtype=object))
    read = read_weights(tmp_path / "parameters.npz")
    np.testing.assert_array_equal(read.values, loc[:, :3])
    np.testing.assert_array_equal(read.scale, scale[:, :3])
    complete = read_weights(tmp_path / "parameters.npz", key="q_mu")
    np.testing.assert_array_equal(complete.scale, scale)
    drawn = read_weights(tmp_path / "parameters.npz", key="embedding")
    np.testing.assert_array_equal(drawn.values, loc + 1)
    assert drawn.scale is None
    with pytest.raises(InputError, match=r"parameters\.npz: holds Python objects, which could run code"):
        read_weights(tmp_path / "parameters.npz", key="logger")


def test_a_matlab_file_is_read_by_the_name_of_its_matrix(tmp_path, loc):
    savemat(tmp_path / "one.mat", {"spose_embedding": loc, "label": "x"})
    np.testing.assert_array_equal(read_weights(tmp_path / "one.mat", ids=IDS).values, loc)
    savemat(tmp_path / "two.mat", {"a": loc, "b": loc.T})
    with pytest.raises(InputError, match=r"two\.mat: has no array that is known to hold weights; name one .* \(a, b\)"):
        read_weights(tmp_path / "two.mat", ids=IDS)
    assert read_weights(tmp_path / "two.mat", ids=IDS, key="b").transposed
    (tmp_path / "cut.mat").write_bytes((tmp_path / "two.mat").read_bytes()[:200])
    with pytest.raises(InputError, match=r"cut\.mat: is not a whole MATLAB file"):
        read_weights(tmp_path / "cut.mat", ids=IDS)


@pytest.fixture
def checkpoint(tmp_path):
    torch = pytest.importorskip("torch", reason="needs affectome[local]")

    def save(state, name="model_epoch0500.tar", **more):
        tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
        loss = torch.nn.Parameter(torch.ones(())) * 2  # a loss that still knows its graph, as they save it
        content = {"epoch": 500, "model_state_dict": tensors, "loss": loss, "train_accs": [0.5, 0.6], **more}
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def test_a_vice_checkpoint_gives_means_and_deviations_from_their_logarithm(checkpoint, loc, scale):
    path = checkpoint({"mu.mu.weight": loc.T, "sigma.logsigma.weight": np.log(scale.T)})
    read = read_weights(path)
    np.testing.assert_array_equal(read.values, loc)
    np.testing.assert_allclose(read.scale, scale, rtol=1e-6)
    assert (read.array, read.transposed) == ("mu.mu.weight", True)
    square = checkpoint({"mu.mu.weight": loc[:P].T, "sigma.logsigma.weight": np.log(scale[:P].T)}, "square.tar")
    np.testing.assert_array_equal(read_weights(square, ids=P).values, loc[:P])  # the layout decides where ids cannot
    wrapped = checkpoint({"module.q_mu.q_mu": loc, "module.q_logvar.q_logvar": np.log(scale)}, "w.pt")
    np.testing.assert_array_equal(read_weights(wrapped, ids=IDS).values, loc)


def test_a_spose_checkpoint_needs_the_ids_to_say_which_way_round_it_is(checkpoint, loc):
    path = checkpoint({"fc.weight": loc.T})
    np.testing.assert_array_equal(read_weights(path, ids=IDS).values, loc)
    np.testing.assert_array_equal(read_weights(path, rows="components").values, loc)
    with pytest.raises(InputError, match="has 4 rows and 12 columns, and nothing says which are the stimuli; give the"):
        read_weights(path)


def test_a_checkpoint_with_python_objects_is_refused_and_not_run(checkpoint, loc, tmp_path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(ran)!r}, 'w').close()",))

    path = checkpoint({"fc.weight": loc.T}, logger=Evil())
    with pytest.raises(InputError, match=r"holds Python objects beside its tensors.*save model\.state_dict\(\) alone"):
        read_weights(path, ids=IDS)
    assert not ran.exists()
    (tmp_path / "cut.tar").write_bytes(checkpoint({"fc.weight": loc.T}).read_bytes()[:900])
    with pytest.raises(InputError, match=r"cut\.tar: is not a whole torch checkpoint; copy or save it again"):
        read_weights(tmp_path / "cut.tar", ids=IDS)


def test_a_checkpoint_without_torch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "m.tar").write_bytes(b"PK")
    with pytest.raises(EnvironmentFailure, match=r"needs torch; install it with: pip install \"affectome\[local\]\""):
        read_weights(tmp_path / "m.tar")


def test_without_ids_a_plain_matrix_is_read_only_where_it_is_taller_than_wide(tmp_path, loc):
    np.save(tmp_path / "w.npy", loc)
    assert not read_weights(tmp_path / "w.npy").transposed
    assert read_weights(tmp_path / "w.npy", rows="components").values.shape == (P, N)
    np.save(tmp_path / "square.npy", loc[:P])
    for ids in (None, P):
        with pytest.raises(InputError, match=r"square\.npy: has 4 rows and .* say whether rows are stimuli or compon"):
            read_weights(tmp_path / "square.npy", ids=ids)
    np.testing.assert_array_equal(read_weights(tmp_path / "square.npy", ids=P, rows="stimuli").values, loc[:P])
    np.testing.assert_array_equal(read_weights(tmp_path / "square.npy", ids=P, rows="components").values, loc[:P].T)


@pytest.mark.parametrize(("ids", "rows"), [(13, "auto"), (5, "auto"), (4, "stimuli"), (12, "components")])
def test_a_number_of_ids_that_fits_no_side_is_refused(tmp_path, loc, ids, rows):
    np.save(tmp_path / "w.npy", loc)
    turned = "" if rows == "auto" else f" with {rows} in rows"
    with pytest.raises(InputError) as caught:
        read_weights(tmp_path / "w.npy", ids=ids, rows=rows)
    assert str(caught.value) == (
        f"{tmp_path / 'w.npy'}: has 12 rows and 4 columns{turned}, which does not fit {ids} ids; "
        "give one id per stimulus, in the order of the file."
    )


def saved(array):
    return lambda path: np.save(path, array)


def archived(cut=1.0, **made):
    def write(path):
        np.savez(path, **made)
        path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])

    return write


GAP = np.ones((3, 2))
GAP[1, 1] = np.nan
BAD = {
    "missing": ("w.npy", lambda path: None, ": there is no such file; check the path."),
    "extension": ("w.h5", "x", ": has the extension '.h5', which no weight file has; use one of .txt, .csv"),
    "empty": ("w.txt", "", ": holds no weights; give it one line per stimulus."),
    "comments alone": ("w.txt", "# W\n\n", ": holds no weights; give it one line per stimulus."),
    "ragged": (
        "w.txt",
        "1 2\n\n3 4 5\n",
        ", row 3: has 3 numbers where the first row has 2; complete or delete the row",
    ),
    "header": ("w.txt", "joy awe\n1 2\n", ", row 1: 'joy awe' is not a row of numbers; delete header and names"),
    "ids in it": ("w.txt", "1 2\nv2 3\n", ", row 2: 'v2 3' is not a row of numbers; delete header and names"),
    "decimal comma": ("w.txt", "0,5 0,1\n0,2 0,3\n", ", row 1: '0,5 0,1' is not a row of numbers"),
    "torn": ("w.txt", "1 2\n3 4", ", row 2: the last line does not end with a line break and may be torn; complete it"),
    "NaN in text": ("w.txt", "1 2\n3 nan\n", ", row 2, column 2: a number of the weights is nan; train to the end"),
    "no text": ("w.txt", b"\x93NUMPY\xff", ": is not text; give the file its own extension."),
    "NaN": ("w.npy", saved(GAP), ", row 2, column 2: a number of the weights is nan; train to the end, or mend"),
    "too large": ("w.npy", saved(np.full((3, 2), 1e39)), ", row 1, column 1: a number of the weights is 1e+39"),
    "three axes": ("w.npy", saved(np.ones((2, 3, 4))), ": the weights have shape (2, 3, 4); give a matrix"),
    "words": ("w.npy", saved(np.array([["a"]])), ": the weights are not numbers; give a matrix"),
    "no rows": ("w.npy", saved(np.ones((0, 3))), ": holds no weights; give at least one stimulus and one component."),
    "pickle": ("w.npy", saved(np.array([[{}]])), ": holds Python objects, which could run code when they are read"),
    "cut npy": (
        "w.npy",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', ",
        ": is not a whole .npy array, or it was cut short",
    ),
    "cut npz": (
        "w.npz",
        archived(0.7, loc=np.ones((9, 9))),
        ": is not a whole .npz archive, or it was cut short; copy",
    ),
    "other archive": ("w.npz", archived(x=GAP, y=GAP), ": has no array that is known to hold weights; name one of its"),
    "scale of others": (
        "w.npz",
        archived(loc=np.ones((3, 2)), scale=np.ones((2, 3))),
        "have shape (2, 3) beside (3, 2)",
    ),
    "negative scale": ("w.npz", archived(loc=np.ones((3, 2)), scale=-np.ones((3, 2))), "'scale' have negative numbers"),
    "false ids": ("w.npz", archived(loc=np.ones((3, 2)), ids=np.ones(3)), "the array 'ids' is no list of names"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_a_bad_weight_file_is_refused_with_file_row_and_remedy(tmp_path, name, content, message):
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_weights(path, ids=3)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)


def test_a_key_that_is_not_there_is_refused(tmp_path, loc):
    np.savez(tmp_path / "w.npz", loc=loc)
    with pytest.raises(InputError, match=r"w\.npz: has no array 'mu'; name one of its arrays as the key \(loc\)"):
        read_weights(tmp_path / "w.npz", key="mu")
    np.save(tmp_path / "w.npy", loc)
    with pytest.raises(InputError, match=r"w\.npy: holds one array without a name, not 'loc'; leave the key out"):
        read_weights(tmp_path / "w.npy", key="loc")
    with pytest.raises(InputError, match="rows='columns' is unknown; choose one of auto, stimuli, components"):
        read_weights(tmp_path / "w.npy", rows="columns")


def test_clipping_sets_negative_weights_to_zero_and_touches_nothing_else(loc, scale):
    weights = Weights.from_space(space_of(loc), space_of(scale))
    clipped = weights.clipped()
    np.testing.assert_array_equal(clipped.values, np.where(loc < 0, 0, loc))
    np.testing.assert_array_equal(clipped.scale, scale)
    assert (clipped.n_negative, clipped.lowest) == (0, 0)
    assert weights.n_negative > 0


def test_pruning_keeps_what_exceeds_the_threshold_by_falling_sum_with_its_deviations(loc, scale):
    pruned = Weights.from_space(space_of(loc), space_of(scale)).pruned(0.1)
    order = sorted(range(3), key=lambda k: -loc[:, k].sum())
    assert pruned.names == tuple(f"c{k}" for k in order) and order != [0, 1, 2]
    np.testing.assert_array_equal(pruned.values, loc[:, order])
    np.testing.assert_array_equal(pruned.scale_space().to_numpy(), scale[:, order])
    with pytest.raises(InputError, match="no component has a weight above 99; lower the threshold"):
        pruned.pruned(99)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), n=st.integers(2, 6), p=st.integers(1, 6))
@pytest.mark.parametrize("suffix", WEIGHT_OUTPUTS)
def test_what_is_written_comes_back_bit_for_bit(tmp_path_factory, suffix, data, n, p):
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    values = data.draw(arrays(np.float32, (n, p), elements=numbers))
    space = pd.DataFrame(values, index=[f"id {k}" for k in range(n)], columns=[f"joy {k}" for k in range(p)])
    path = tmp_path_factory.getbasetemp() / f"weights{suffix}"
    write_weights(path, space)
    read = read_weights(path, ids=None if suffix == ".npz" else list(space.index), rows="stimuli")
    np.testing.assert_array_equal(read.values, values)
    assert read.ids == tuple(space.index)
    assert read.names == (tuple(space.columns) if suffix == ".npz" else read.names)


@pytest.mark.parametrize("suffix", [".txt", ".npy", ".npz"])
def test_the_largest_number_of_a_weight_comes_back(tmp_path, suffix):
    largest = np.finfo(np.float32).max  # whose shortest digits are larger than it is
    space = pd.DataFrame(np.array([[largest, -largest]], np.float32), index=["a"], columns=["x", "y"])
    write_weights(tmp_path / f"w{suffix}", space)
    read = read_weights(tmp_path / f"w{suffix}", ids=None if suffix == ".npz" else ["a"], rows="stimuli")
    np.testing.assert_array_equal(read.values, space)


def test_an_archive_is_what_vice_programs_expect_and_keeps_ids_and_deviations(tmp_path, loc, scale):
    write_weights(tmp_path / "w.npz", space_of(loc), space_of(scale))
    with np.load(tmp_path / "w.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["pruned_loc"], loc)
        np.testing.assert_array_equal(archive["pruned_scale"], scale)
    read = read_weights(tmp_path / "w.npz")
    pd.testing.assert_frame_equal(read.to_space(), space_of(loc))
    pd.testing.assert_frame_equal(read.scale_space(), space_of(scale))


def test_a_text_file_is_read_by_numpy(tmp_path, loc):
    write_weights(tmp_path / "w.txt", space_of(loc))
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "w.txt", dtype=np.float32), loc)


def test_nothing_is_written_for_what_a_file_cannot_hold(tmp_path, loc, scale):
    with pytest.raises(InputError, match=r"w\.txt: holds one matrix and no deviations; use \.npz"):
        write_weights(tmp_path / "w.txt", space_of(loc), space_of(scale))
    with pytest.raises(InputError, match=r"w\.pt: has the extension '\.pt'; use \.txt or \.npy or \.npz"):
        write_weights(tmp_path / "w.pt", space_of(loc))
    with pytest.raises(InputError, match="the deviations are of other stimuli or components than the space"):
        write_weights(tmp_path / "w.npz", space_of(loc), space_of(scale).iloc[::-1])
    with pytest.raises(InputError, match="a posterior deviation is negative"):
        write_weights(tmp_path / "w.npz", space_of(loc), space_of(-scale))
    holed = space_of(loc)
    holed.iloc[2, 1] = np.nan
    with pytest.raises(InputError, match=r"row 3 \(id clip 2\): the value in column 'c1' is missing"):
        write_weights(tmp_path / "w.npy", holed)
    assert list(tmp_path.iterdir()) == []

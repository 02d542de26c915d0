"""A seed belongs to one purpose and to nothing else."""

import numpy as np

from affectome._seeds import named_seed


def test_named_seeds_do_not_collide_over_purposes_roots_and_orders_of_names():
    names = [(a, b) for a in "abcdefghij" for b in "abcdefghij"] + [(a,) for a in "abcdefghij"] + [()]
    seeds = {named_seed(root, *name) for root in range(10) for name in names}
    # 1,110 draws from 2**32: a collision has probability 1.4e-4.
    assert len(seeds) == 10 * len(names)


def test_a_named_seed_is_the_same_in_every_process_and_release():
    words = np.random.SeedSequence(1, spawn_key=(0x352441C2,)).generate_state(1)  # crc32(b"abc"), from its definition
    assert named_seed(1, "abc") == int(words[0])
    assert 0 <= named_seed(7, "x") < 2**32

import subprocess
import sys

import pytest

import affectome

HEAVY = ("sklearn", "scipy.stats", "numba", "matplotlib", "nilearn", "himalaya", "aiohttp", "torch")


def test_importing_affectome_loads_nothing_heavy():
    code = f"import sys, affectome; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_tables():
    code = f"import sys, affectome.cli; print([n for n in {(*HEAVY, 'pandas', 'pyarrow')!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    assert len(set(affectome.__all__)) == len(affectome.__all__) > 20
    assert [name for name in affectome.__all__ if getattr(affectome, name, None) is None] == []
    assert set(affectome.__all__) <= set(dir(affectome))


@pytest.mark.parametrize("room", ["behavior", "embedding", "interpretation", "neural", "plotting", "prediction", "simulation"])
def test_every_name_of_a_room_resolves(room):
    module = getattr(affectome, room)
    assert [name for name in module.__all__ if getattr(module, name, None) is None] == []


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'affectome' has no attribute 'Spose'"):
        affectome.Spose  # noqa: B018

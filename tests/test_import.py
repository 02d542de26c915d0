import os
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


@pytest.mark.parametrize(
    "room", ["behavior", "embedding", "interpretation", "neural", "plotting", "prediction", "simulation"]
)
def test_every_name_of_a_room_resolves(room):
    module = getattr(affectome, room)
    assert [name for name in module.__all__ if getattr(module, name, None) is None] == []


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'affectome' has no attribute 'Spose'"):
        affectome.Spose  # noqa: B018


SIDE_EFFECTS = """
import importlib, logging, os, pkgutil, random, sys, threading, warnings

def load():
    names = ["affectome"]
    importlib.import_module("affectome")
    for found in pkgutil.walk_packages(sys.modules["affectome"].__path__, "affectome."):
        importlib.import_module(found.name)
        names.append(found.name)
    return names

def state():
    import numpy
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    return {
        "environment": dict(os.environ),
        "working folder": os.getcwd(),
        "threads": threading.active_count(),
        "warnings": list(warnings.filters),
        "logging": [(one.name, one.level, list(one.handlers)) for one in loggers if one.handlers or one.level],
        "NumPy's generator": numpy.random.get_state()[1].tolist(),
        "Python's generator": random.getstate(),
        "backend of matplotlib": dict.__getitem__(sys.modules["matplotlib"].rcParams, "backend"),
        "recursion limit": sys.getrecursionlimit(),
        "hooks": (sys.excepthook, threading.excepthook, sys.displayhook),
    }

names = load()  # what other libraries do when they are first imported is theirs
for name in names:
    del sys.modules[name]
before, touched = state(), []

def hook(event, given):
    if event == "open" and isinstance(given[1], str) and set(given[1]) & set("wax+"):
        touched.append(str(given[0]))
    elif event in {"os.mkdir", "os.remove", "os.rename", "socket.connect", "subprocess.Popen"}:
        touched.append(f"{event} {given[0]}")

sys.addaudithook(hook)
assert load() == names and len(names) > 300
after = state()
kept = os.environ["NUMBA_CACHE_DIR"]  # numba asks there, at each declaration of a kernel, whether it may write
print([name for name in before if before[name] != after[name]] + [path for path in touched if kept not in path])
"""


def test_importing_every_module_changes_nothing_and_touches_no_file(tmp_path):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", SIDE_EFFECTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr

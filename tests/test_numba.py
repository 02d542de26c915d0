import stat
import tempfile

import pytest

from affectome import _numba

pytestmark = pytest.mark.skipif(not hasattr(_numba.os, "getuid"), reason="on Windows each user has a temporary folder")


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A temporary folder where others write too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_machine_code_in_a_shared_folder_lies_where_nobody_else_writes_and_is_found_again(shared):
    folder = _numba._private_folder()
    assert folder.parent == shared and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert _numba._private_folder() == folder


def planted(folder):
    folder.mkdir()
    folder.chmod(0o777)


def linked(folder):
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("plant", [planted, linked], ids=["others may write", "a link"])
def test_machine_code_that_others_could_have_put_there_is_passed_over(shared, plant):
    expected = _numba._private_folder()
    expected.rmdir()
    plant(expected)
    (expected / "kernel.nbi").write_bytes(b"runs when numba reads it")
    folder = _numba._private_folder()
    assert folder != expected and list(folder.iterdir()) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_machine_code_of_another_user_is_passed_over(shared, monkeypatch):
    expected = _numba._private_folder()
    owner = expected.stat().st_uid
    monkeypatch.setattr(_numba.os, "getuid", lambda: owner + 1)
    assert _numba._private_folder() != expected

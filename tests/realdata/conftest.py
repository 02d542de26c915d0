import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data():
    """The folder of real data: $AFFECTOME_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("AFFECTOME_DATA") or Path(__file__).resolve().parents[2] / "../shared/data")
    if not (folder / "cowen_keltner_2017").is_dir():
        pytest.skip(f"there is no real data in {folder}; set AFFECTOME_DATA to its folder")
    return folder.resolve()

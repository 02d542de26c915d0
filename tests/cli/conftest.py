"""Commands as a user types them."""

import pytest

from affectome.cli import main


@pytest.fixture
def run(capsys):
    """Run a command; give its exit code, stdout and stderr."""

    def call(*arguments):
        code = main([str(part) for part in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call

"""docs/messages.md lists what the code says."""

import subprocess
import sys

from tests.conftest import ROOT


def test_the_list_of_errors_is_current() -> None:
    script = "import sys; sys.path.insert(0, 'docs'); import messages; sys.stdout.write(messages.page())"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    listed = (ROOT / "docs" / "messages.md").read_bytes()
    assert done.stdout == listed, "run: python docs/messages.py"
    assert b"| does not exist |" in listed
    assert listed.count(b"\n| ") > 50

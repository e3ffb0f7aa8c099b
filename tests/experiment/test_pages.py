import base64
from pathlib import Path

import nbformat

from syncnet_lib.experiment.pages import to_html


def test_an_executed_notebook_becomes_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    picture = base64.b64encode(b"PNG").decode()
    cell = nbformat.v4.new_code_cell("figure = 1 < 2", execution_count=1)
    cell.outputs = [
        nbformat.v4.new_output("display_data", {"image/png": picture, "text/plain": "<Figure>"}),
        nbformat.v4.new_output("execute_result", {"text/markdown": "**A finding.**"}, execution_count=1),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A title"), cell])
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "train.ipynb")
    nbformat.write(notebook, tmp_path / "notebooks" / "train.failed.ipynb")
    (page,) = to_html(tmp_path / "notebooks", tmp_path / "html")
    assert page == tmp_path / "html" / "train.html"
    text = page.read_text()
    for wanted in ("A title", picture, "<strong>A finding.</strong>", "figure"):
        assert wanted in text
    for fetched in ("http://", "https://", "<script", "<link"):
        assert fetched not in text

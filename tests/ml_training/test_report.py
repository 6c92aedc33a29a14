"""The report builder: one file, escaped, whole."""

from pathlib import Path

import numpy as np
import pytest

from ml_training.report import Report


def test_report_is_escaped_and_self_contained(tmp_path: Path) -> None:
    from matplotlib import pyplot

    report = Report("<b>A & B</b>")
    report.heading("<i>x</i>")
    report.text("a < b", warn=True)
    report.table(["name", "n", "share"], [["<script>", 1234, 0.25], ["y", None, float("nan")]], "c & d")
    figure, axis = pyplot.subplots()
    axis.plot([0, 1])
    report.figure(figure, 'a "line"')
    report.gallery([(np.eye(9) * 3.5, "<eye>"), (np.zeros((5, 4, 3), np.uint8), "black")], "two")
    path = tmp_path / "new" / "report.html"
    report.write(path)
    page = path.read_text("utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "1,234" in page and "0.250" in page
    assert "http://" not in page and "https://" not in page
    assert page.count("<img ") == 3 == page.count(' alt="') and "a &quot;line&quot;" in page
    assert not pyplot.get_fignums()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_report_refuses_ragged_rows_and_strange_headings() -> None:
    with pytest.raises(ValueError, match="cells"):
        Report("x").table(["a", "b"], [[1]])
    with pytest.raises(ValueError, match="heading"):
        Report("x").heading("y", level=4)

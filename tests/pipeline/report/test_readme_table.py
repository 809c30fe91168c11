"""README's results are those of the committed metrics, few enough to read, with what went wrong among them."""

from pathlib import Path

import pytest

from pipeline.report.readme_table import README, rows, table, with_table

ROOT = Path(__file__).parents[3]


def test_readme_and_metrics_agree():
    text = (ROOT / README).read_text()
    assert text == with_table(text, table(rows(ROOT))), "python -m pipeline.report.readme_table --write"


def test_there_are_at_most_ten_rows_and_the_misses_of_the_potential_are_in_them():
    content = rows(ROOT)
    assert 1 <= len(content) <= 10
    assert all(len(row) == 3 for row in content)
    shown = table(content)
    for words in ("but bulk modulus ", "C44 ", "surface 111 ", "migration barrier "):
        assert words in shown
    for words in ("raw two-point correlation", "centred", "a fit of the law's four terms, no search"):
        assert words in shown


def test_only_the_part_between_the_markers_is_written():
    text = "before\n<!-- results -->\nold\n<!-- /results -->\nafter\n"
    assert with_table(text, "new") == "before\n<!-- results -->\nnew\n<!-- /results -->\nafter\n"


@pytest.mark.parametrize("text", ["", "<!-- results -->", "<!-- /results --> <!-- results -->"])
def test_a_readme_without_markers_is_refused(text):
    with pytest.raises(ValueError, match="put them around the table"):
        with_table(text, "new")

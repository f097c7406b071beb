"""What every task's page answers, in a real browser without a network: what `resnets predict` answers."""

import pytest

from resnets.errors import InputError
from resnets.verbs.export import export
from resnets.verbs.predict import predict
from tests.ship.page.driven import gap, need_runtime, opened


@pytest.mark.slow
def test_a_page_says_the_same_or_is_refused_by_name(done, browser, tmp_path):
    need_runtime()
    out = tmp_path / "page.html"
    if "html" not in done.task.formats:
        with pytest.raises(InputError, match=f"is for the task {done.task.name}, which is exported as"):
            export(done.path, format="html", out=out)
        return
    result = export(done.path, format="html", data=str(done.data), out=out)
    assert result["equal"] > 0.999 and result["largest_difference"] < 1e-3 and not result["faults"]
    expected = {row["path"].rpartition("/")[2]: row for row in predict(done.path, done.pictures, device="cpu")}
    with opened(browser, out) as found:
        rows = found.answers(done.pictures)
        assert found.asked == [out.resolve().as_uri()] and not found.faults
        assert not found.page.locator("article .warn").count()
    assert rows.keys() == expected.keys()
    assert max(gap(expected[name], rows[name]) for name in rows) < 1e-3

"""The policy of every page: its own scripts run, by their hashes; nothing else, and nothing is loaded."""

import base64
import hashlib

from resnets.verbs.report import page


def test_the_policy_names_the_scripts_and_forbids_the_rest():
    digest = base64.b64encode(hashlib.sha256(b"alert(1)").digest()).decode()
    found = dict(part.split(" ", 1) for part in page.policy(["alert(1)"]).split("; "))
    assert found == {
        "default-src": "'none'", "script-src": f"'sha256-{digest}'", "img-src": "data:", "style-src": "'unsafe-inline'",
        "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert "script-src 'none';" in page.policy([])


def test_a_page_has_the_scripts_that_it_names_as_they_are():
    made = page.filled("report/base.html.jinja", {}, scripts=("page.js",))
    script = (page.HERE / "page.js").read_text(encoding="utf-8")
    assert made.count(f"<script>{script}</script>") == 2

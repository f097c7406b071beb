"""`resnets report` on the command line."""

from click.testing import CliRunner

from resnets.cli.main import cli


def test_the_page_of_a_run_is_made_again(tmp_path):
    (tmp_path / "recipe.yaml").write_text("model: resnet20_cifar\n")
    done = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (
        done.stderr == f"written: {tmp_path / 'report.html'}\n"
        and "<h1>resnet20_cifar" in (tmp_path / "report.html").read_text()
    )
    other = tmp_path / "elsewhere" / "page.html"
    assert CliRunner().invoke(cli, ["report", str(tmp_path), "--out", str(other)]).exit_code == 0 and other.exists()


def test_no_run_is_said(tmp_path):
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "none")])
    assert "no such run directory" in str(done.exception)

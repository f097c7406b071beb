"""Names of weights, and what is fetched for them, from a server on this machine."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torchvision

from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models.pretrained import facts, names
from resnets.models.pretrained.names import Published, Repository, locate, parse
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model, load, save
from tests.models.pretrained.theirs import randomise


@pytest.mark.parametrize(
    ("what", "model", "named"),
    [
        ("torchvision/resnet50", None, Published("resnet50", "DEFAULT")),
        ("torchvision/resnet50.IMAGENET1K_V1", None, Published("resnet50", "IMAGENET1K_V1")),
        ("IMAGENET1K_V2", "resnet101", Published("resnet101", "IMAGENET1K_V2")),
        ("DEFAULT", "resnet18", Published("resnet18", "DEFAULT")),
        ("torchvision/DEFAULT", "resnet18", Published("resnet18", "DEFAULT")),
        ("ResNeXt50_32X4D_Weights.IMAGENET1K_V1", None, Published("resnext50_32x4d", "IMAGENET1K_V1")),
        ("timm/resnet50.a1_in1k", None, Repository("timm/resnet50.a1_in1k")),
        ("microsoft/resnet-50", None, Repository("microsoft/resnet-50")),
        ("hf/some-one/a_net@v1.0", None, Repository("some-one/a_net", "v1.0")),
        ("runs/mine", None, None),
        ("model.safetensors", None, None),
        ("timm/../../etc", None, None),
    ],
)
def test_what_names_mean(what, model, named):
    assert parse(what, model) == named


def test_a_name_that_leaves_the_network_open_says_so():
    with pytest.raises(InputError, match=r"Add --model, or write torchvision/resnet50\.IMAGENET1K_V2"):
        parse("IMAGENET1K_V2")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("torchvision/vgg16", "no weights of 'vgg16'; it has those of: .*resnet18"),
        ("torchvision/resnet18.IMAGENET1K_V2", "torchvision's resnet18 has IMAGENET1K_V1"),
    ],
)
def test_what_torchvision_does_not_have_is_named(what, said):
    with pytest.raises(InputError, match=said):
        locate(what)


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("timm").mkdir()
    (tmp_path / "timm/resnet18").write_text("")
    assert locate("timm/resnet18") == Path("timm/resnet18")


def test_a_bundled_model_goes_by_its_name(tmp_path, monkeypatch):
    """In 16 bits on the disk, in 32 when it is loaded."""
    monkeypatch.setattr(saved, "BOXED", tmp_path / "boxed")
    model = create_model(ResNetSpec(depths=(1,), width=8, stem="small", num_classes=2)).half()
    save(model, tmp_path / "boxed/resnet8_digits.safetensors")
    (tmp_path / "boxed/resnet8_digits.md").write_text("# ResNet-8 on digits, 99 %\n\nMore.\n")
    assert locate("resnet8_digits") == tmp_path / "boxed/resnet8_digits.safetensors"
    loaded = load("resnet8_digits")
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.fc.weight, model.fc.weight.float())
    assert saved.card(saved.boxed()["resnet8_digits"]) == "ResNet-8 on digits, 99 %"


# --- fetching ---------------------------------------------------------------------------------------------------------------


COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def site(tmp_path):
    """A server that hands out the files of a folder, and notes what it was asked."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        asked: list[str] = []  # noqa: RUF012

        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def parse_request(self):
            known = super().parse_request()
            if known:  # what is asked for by its commit is that of main
                self.path = self.path.replace(f"/resolve/{COMMIT}/", "/resolve/main/")
            return known

        def do_GET(self):
            self.asked.append(self.path)
            super().do_GET()

        def end_headers(self):
            # What huggingface_hub wants to know of a file before it fetches it.
            path = folder / self.path.lstrip("/")
            if "/resolve/" in self.path and path.is_file():
                self.send_header("ETag", f'"{facts.sha256(path)}"')
                self.send_header("X-Repo-Commit", COMMIT)
            if "/resolve/" in self.path and not path.is_file():
                self.send_header("X-Error-Code", "EntryNotFound")
            super().end_headers()

        def log_message(self, *args): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}", Handler.asked
    server.shutdown()


def theirs():
    return randomise(torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=4))


def test_torchvisions_file_is_fetched_once_into_torch_hubs_cache(site, tmp_path, monkeypatch):
    folder, address, asked = site
    torch.save(theirs().state_dict(), folder / "new.pth")
    start = facts.sha256(folder / "new.pth")[:8]
    (folder / "new.pth").rename(folder / f"resnet18-{start}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(names, "_url", lambda named: f"{address}/resnet18-{start}.pth")
    path = locate("torchvision/resnet18")
    assert path == tmp_path / f"home/hub/checkpoints/resnet18-{start}.pth"
    assert load("torchvision/resnet18").spec.num_classes == 4 and len(asked) == 1
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="not what torchvision published"):
        locate("torchvision/resnet18")
    (folder / f"resnet18-{start}.pth").write_bytes(b"other")
    path.unlink()
    with pytest.raises(InputError, match="invalid hash value"):
        locate("torchvision/resnet18")
    monkeypatch.setattr(names, "_url", lambda named: "http://127.0.0.1:1/resnet18-00000000.pth")
    with pytest.raises(InputError, match=r"cannot be downloaded .* put it at"):
        locate("torchvision/resnet18")


FETCH = """
import sys
from resnets.models.pretrained.opening import open_weights
from resnets.errors import InputError
try:
    header = open_weights(sys.argv[1]).header
    print(header.provenance["licence"], header.preprocess.crop_pct, header.spec.num_classes)
except InputError as error:
    print("refused:", error)
"""


def fetched(name, **variables):
    """In a process of its own, since huggingface_hub reads its variables when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", FETCH, name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | variables,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_hugging_faces_cache_mirror_and_offline_switch_are_its_own(site, tmp_path):
    pytest.importorskip("huggingface_hub")
    folder, address, asked = site
    here = folder / "timm/resnet10.mine/resolve/main"
    here.mkdir(parents=True)
    torch.save(theirs().state_dict(), here / "pytorch_model.bin")
    rule = {"mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.95, "input_size": [3, 64, 64], "tag": "mine"}
    (here / "config.json").write_text(json.dumps({"architecture": "resnet10", "pretrained_cfg": rule}))
    (here / "README.md").write_text("---\nlicense: mit\n---\n")
    places = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    assert fetched("timm/resnet10.mine", **places) == "mit 0.95 4"
    count = len([path for path in asked if path.endswith(".bin")])
    assert count == 1
    assert fetched("timm/resnet10.mine", **places, HF_HUB_OFFLINE="1") == "mit 0.95 4"
    assert len([path for path in asked if path.endswith(".bin")]) == count
    assert "refused: timm/resnet11: not in the cache" in fetched("timm/resnet11", **places, HF_HUB_OFFLINE="1")

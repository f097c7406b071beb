"""A library's network with random weights, saved as that library saves it and opened here, gives the same outputs."""

import json

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from resnets.errors import InputError
from resnets.models.pretrained import keymaps
from resnets.models.pretrained.opening import open_weights
from resnets.ship import hub
from tests.models.pretrained.theirs import CifarNet, difference, randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")
CLOSE = 1e-4

torchvision_net = torchvision.models.resnet.ResNet
Basic, Bottleneck = torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck


def small(block=Basic, layers=(1, 1, 1, 1), **settings):
    return randomise(torchvision_net(block, list(layers), num_classes=7, **settings))


def opened(path, **given):
    """The model of a file, and what it says of itself."""
    model = hub.built(open_weights(path, **given))
    return model, model.header


# --- torchvision ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"layers": (2, 1, 1, 2)},
        {"block": Bottleneck},
        {"block": Bottleneck, "groups": 32, "width_per_group": 4},
        {"block": Bottleneck, "width_per_group": 128},
    ],
    ids=["basic", "deeper", "bottleneck", "grouped", "wide"],
)
def test_torchvisions_networks_go_in_and_back(settings, tmp_path):
    theirs = small(**settings)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    model, header = opened(tmp_path / "theirs.pth")
    assert difference(theirs, model, 64, 97) < CLOSE
    assert header.provenance["family"] == "torchvision" and header.spec.num_classes == 7
    again = torchvision_net(**{"block": Basic, "layers": [1, 1, 1, 1], "num_classes": 7} | settings)
    again.load_state_dict(keymaps.to_torchvision(model.state_dict(), model.spec))
    assert difference(theirs, again.eval(), 64) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_whole_networks_are_found_by_name(name, tmp_path):
    theirs = randomise(getattr(torchvision.models, name)())
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    model, header = opened(tmp_path / "theirs.pth")
    assert difference(theirs, model, 64, 97) < CLOSE and header.spec.name == name
    assert header.labels[:2] == ("tench", "goldfish")


def by_a_training_script(state, path):
    """As the reference scripts of torchvision and timm keep a run: the flags lie beside the tensors."""
    from argparse import Namespace

    torch.save({"model": state, "epoch": 3, "args": Namespace(lr=0.1), "optimizer": {"state": {}}}, path)


def by_data_parallel(state, path):
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "best_prec1": 9.0}, path)


def by_an_average(state, path):
    inner = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"model_ema": inner | {"n_averaged": torch.tensor(5)}, "model": {"wrong": torch.zeros(3)}}, path)


def by_lightning(state, path):
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "hyper_parameters": {}}, path)


def as_of_old(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


def in_halves(state, path):
    save_file({name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, path)


@pytest.mark.parametrize("write", [by_a_training_script, by_data_parallel, by_an_average, by_lightning, as_of_old, in_halves])
def test_wrapped_and_nested_checkpoints_are_opened(write, tmp_path):
    theirs = small()
    write(theirs.state_dict(), tmp_path / "theirs")
    model, _ = opened(tmp_path / "theirs")
    assert difference(theirs, model, 65) < (0.02 if write is in_halves else 1e-6)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32, torch.int64}


def test_checkpoints_from_before_counters_are_complete(tmp_path):
    state = {name: tensor for name, tensor in small().state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "theirs.pth")
    assert opened(tmp_path / "theirs.pth")[0].bn1.num_batches_tracked == 0


# --- timm -------------------------------------------------------------------------------------------------------------------

TIMM = {"resnet18d": 1, "seresnet18": 1, "resnetv2_18": 1, "resnet50": 2, "seresnext50_32x4d": 2, "resnet50c": 2}


def timm_net(name):
    return randomise(timm.create_model(name, num_classes=7, **({"layers": [1] * 4} if "v2" not in name else {})))


@pytest.mark.parametrize("name", ["resnet18d", "seresnet18", "resnetv2_18", "resnet50c", "seresnext50_32x4d"])
def test_timms_networks_go_in_and_back(name, tmp_path):
    theirs = timm_net(name)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    model, header = opened(tmp_path / "model.safetensors")
    assert difference(theirs, model, 64, 97) < CLOSE
    assert header.provenance["family"].startswith("timm" if name != "resnet50c" else "t")
    again = timm_net(name)
    randomise(again, seed=1).load_state_dict(keymaps.to_timm(model.state_dict(), model.spec))
    assert difference(theirs, again, 64) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50d", "seresnet50", "resnetv2_50", "resnext50_32x4d", "wide_resnet50_2"])
def test_timms_whole_networks(name, tmp_path):
    theirs = randomise(timm.create_model(name))
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    model, header = opened(tmp_path / "pytorch_model.bin")
    assert difference(theirs, model, 64, 97) < CLOSE
    assert header.spec.name == name.replace("resnetv2_", "preresnet")


def test_a_folder_of_timms_says_preprocessing_and_licence(tmp_path):
    theirs = randomise(timm.create_model("resnet18", num_classes=7))
    timm.models.save_for_hf(theirs, tmp_path, model_args=None)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"] |= {"crop_pct": 0.95, "mean": [0.5] * 3, "tag": "mine"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\ndatasets:\n- my/photos\n---\n# A model\n")
    model, header = opened(tmp_path)
    assert difference(theirs, model, 64) < CLOSE
    assert (header.preprocess.crop_pct, header.preprocess.mean) == (0.95, (0.5,) * 3)
    told = header.provenance
    assert (told["licence"], told["training_data"], told["weights"]) == ("cc-by-nc-4.0", "my/photos", "resnet18.mine")
    assert told["preprocess"].startswith("config.json")


def test_imagenets_synonyms_of_a_configuration_become_its_names(tmp_path):
    """ "crane" is there twice among the first synonyms, and a saved model has each class once."""
    synonyms = timm.data.ImageNetInfo().label_descriptions()
    timm.models.save_for_hf(randomise(timm.create_model("resnet10t", num_classes=1000, stem_width=64, stem_type="")), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config = {"architectures": ["ResNet"], "id2label": dict(enumerate(synonyms)), "model_type": "resnet"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    hub.convert(tmp_path, tmp_path / "ours.safetensors", mean=[0.5] * 3, std=[0.5] * 3)
    labels = hub.load(tmp_path / "ours.safetensors").labels
    assert (labels[0], labels[134], labels[517]) == ("tench", "crane bird", "crane")


@pytest.mark.parametrize("name", ["resnetblur18", "resnetaa50", "resnet50t", "resnet50_gn", "ecaresnet26t"])
def test_what_only_looks_like_ours_is_refused(name, tmp_path):
    """Some of timm's networks have the tensors of a ResNet and compute another function; its config says which they are."""
    timm.models.save_for_hf(timm.create_model(name, num_classes=7), tmp_path)
    with pytest.raises(InputError, match=f"{name}|is missing|is not part of|expected"):
        opened(tmp_path)


# --- repositories -----------------------------------------------------------------------------------------------------------

REPOSITORIES = {
    "akamaster/pytorch_resnet_cifar10": ({"option": "A", "head": "linear"}, "resnet20_cifar"),
    "chenyaofo/pytorch-cifar-models": ({"option": "downsample", "head": "fc", "num_classes": 100}, "resnet20_cifar"),
    "kuangliu/pytorch-cifar": ({"option": "shortcut", "head": "linear", "widths": (64, 128, 256, 512)}, "resnet"),
}


@pytest.mark.parametrize("family", REPOSITORIES)
def test_repositories_for_cifar(family, tmp_path):
    settings, name = REPOSITORIES[family]
    theirs = randomise(CifarNet(3, **settings))
    by_data_parallel(theirs.state_dict(), tmp_path / "theirs.th")
    model, header = opened(tmp_path / "theirs.th")
    assert difference(theirs, model, 32, 33) < CLOSE
    assert (header.provenance["family"], header.spec.name, header.preprocess.size) == (family, name, (32, 32))
    assert header.spec.shortcut == ("A" if settings["option"] == "A" else "B")
    fine = settings.get("num_classes") == 100  # the names of what they trained on
    assert header.labels[:2] == (("apple", "aquarium_fish") if fine else ("airplane", "automobile"))
    assert header.provenance["training_data"] == f"CIFAR-{len(header.labels)}, by its {len(header.labels)} classes"


def test_akamasters_and_chenyaofos_preprocessing_is_their_own(tmp_path):
    for family, mean in (("akamaster/pytorch_resnet_cifar10", 0.485), ("chenyaofo/pytorch-cifar-models", 0.507)):
        torch.save(randomise(CifarNet(1, **REPOSITORIES[family][0])).state_dict(), tmp_path / "theirs.th")
        header = open_weights(tmp_path / "theirs.th").header
        assert header.preprocess.mean[0] == mean and header.provenance["preprocess"] == f"the defaults of {family}"


def test_what_no_tensor_shows_is_for_model_to_say(tmp_path):
    torch.save(randomise(CifarNet(3, "A", "linear")).state_dict(), tmp_path / "theirs.th")
    assert open_weights(tmp_path / "theirs.th", model="plain20_cifar").header.spec.shortcut == "none"
    torch.save(small(Bottleneck, (3, 4, 6, 3)).state_dict(), tmp_path / "theirs.pth")
    assert open_weights(tmp_path / "theirs.pth").header.spec.stride_in == "3x3"
    assert open_weights(tmp_path / "theirs.pth", model="resnet50_v1").header.spec.stride_in == "1x1"
    with pytest.raises(InputError, match=r"are a resnet50's, not a resnet18's \(block is bottleneck"):
        open_weights(tmp_path / "theirs.pth", model="resnet18")


# --- Hugging Face transformers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def transformers_net(library, **settings):
    config = {"hidden_sizes": [64, 128, 256, 512], "depths": [1, 2, 1, 1], "layer_type": "basic", "num_labels": 4} | settings
    return randomise(library.ResNetForImageClassification(library.ResNetConfig(**config)))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"layer_type": "bottleneck", "hidden_sizes": [128, 256, 512, 1024], "embedding_size": 32, "num_channels": 1},
        {"layer_type": "bottleneck", "hidden_sizes": [256, 512, 1024, 2048], "downsample_in_bottleneck": True},
    ],
    ids=["basic", "bottleneck", "stride in the 1x1"],
)
def test_transformers_networks(transformers, settings, tmp_path):
    theirs = transformers_net(transformers, **settings, id2label={0: "cat", 1: "dog", 2: "emu", 3: "fox"})
    theirs.save_pretrained(tmp_path)
    rule = {"crop_pct": 0.9, "image_mean": [0.4] * 3, "image_std": [0.3] * 3, "resample": 3, "size": {"shortest_edge": 224}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(rule))
    chans = settings.get("num_channels", 3)
    model, header = opened(tmp_path, **({"mean": [0.5], "std": [0.5]} if chans == 1 else {}))
    assert difference(lambda x: theirs(x).logits, model, 64, 97, chans=chans) < CLOSE
    assert header.labels == ("cat", "dog", "emu", "fox") and header.provenance["family"] == "transformers"
    if chans == 3:
        assert (header.preprocess.mean, header.preprocess.crop_pct) == ((0.4,) * 3, 0.9)


def test_transformers_switches_that_no_network_here_has_are_named(transformers, tmp_path):
    transformers_net(transformers, downsample_in_first_stage=True).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="downsample_in_first_stage"):
        open_weights(tmp_path)


def test_a_trunk_without_a_classifier_has_no_classes(transformers, tmp_path):
    theirs = transformers_net(transformers)
    theirs.resnet.save_pretrained(tmp_path)
    model, header = opened(tmp_path)
    assert header.labels == () and header.spec.num_classes == 0
    assert difference(lambda x: theirs.resnet(x).pooler_output.flatten(1), model, 65) < CLOSE

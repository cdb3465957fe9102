"""An int8 bundle of the made-up hands' network."""
import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

from jointlens_training import quantise
from jointlens_training.crops import load_crops


@pytest.fixture(scope="module")
def knobs(folders, bundle, tmp_path_factory):
    return quantise.Knobs(bundle=str(bundle), activations=str(folders["train"]), calibration=str(folders["calibration"]), test=str(folders["test"]),
                          hands=16, out=str(tmp_path_factory.mktemp("int8")))


@pytest.fixture(scope="module")
def int8(folders, bundle, knobs):
    return quantise.to_int8((bundle / "model.onnx").read_bytes(), quantise.Feeds(load_crops(folders["train"]), 16), 99.99)


def test_blocks_are_int8_stems_and_head_stay_float32(int8):
    graph = onnx.load_from_string(int8).graph
    made_by = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 23
    for node in convolutions:
        assert (made_by[node.input[0]].op_type == "DequantizeLinear" if "/blocks/" in node.name else node.input[0] == "global" or "stem" in node.name), node.name
    assert not any("/blocks/" in node.name for node in graph.node if node.op_type == "Relu")


def test_activations_after_a_relu_start_at_zero_and_weights_are_symmetric(int8):
    graph = onnx.load_from_string(int8).graph
    zeros = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name.endswith("zero_point")}
    weights = [zero for zero in zeros.values() if zero.dtype == np.int8]
    assert len(weights) == 21 and all((zero == 0).all() for zero in weights)
    after_relu = [zero for name, zero in zeros.items() if zero.dtype == np.uint8 and ("Relu" in name)]
    assert after_relu and all(zero == 0 for zero in after_relu)


def test_int8_logits_follow_float32_ones(folders, bundle, int8):
    test = load_crops(folders["test"])
    plain, quick = (quantise.onnx_logits(graph, test) for graph in ((bundle / "model.onnx").read_bytes(), int8))
    assert np.corrcoef(plain[test.mask], quick[test.mask])[0, 1] > 0.99


def test_a_bundle_is_written_with_its_own_calibration_golden_logits_and_digests(folders, knobs, monkeypatch):
    monkeypatch.setattr(quantise, "EQUAL_DECISIONS", 0.9)
    monkeypatch.setattr(quantise, "AUROC_LOSS", 0.05)
    folder, found = quantise.quantise(knobs)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == "0.1.0-int8" and manifest["quantised"]["equalDecisions"] == found["equalDecisions"]
    assert manifest["files"]["model.onnx"]["sha256"] == quantise.sha256((folder / "model.onnx").read_bytes())
    assert "DequantizeLinear" in manifest["operators"] and "## int8" in (folder / "MODEL_CARD.md").read_text()
    test = load_crops(folders["test"])  # the golden hands are its rows 0 and half
    assert np.allclose(manifest["golden"]["logits"], quantise.onnx_logits((folder / "model.onnx").read_bytes(), test)[[0, len(test) // 2]], atol=1e-4)


def test_too_many_changed_decisions_write_nothing(knobs, tmp_path, monkeypatch):
    monkeypatch.setattr(quantise, "EQUAL_DECISIONS", 1.01)
    with pytest.raises(ValueError, match="ship the float32 bundle"):
        quantise.quantise(replace(knobs, out=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_equal_decisions_are_counted_at_the_float32_threshold(folders):
    test = load_crops(folders["test"])
    calibration = {"priorLogOdds": [0.0] * 11, "temperature": 1.0, "bias": 0.0, "thresholds": {"f1": 0.5}}
    plain = np.where(test.labels > 0, 1.0, -1.0)
    other = plain.copy()
    i, j = np.argwhere(test.mask)[0]
    other[i, j] *= -1  # one decision of all turns
    found = quantise.compared(plain, other, calibration, calibration, test)
    assert found["equalDecisions"] == pytest.approx(1 - 1 / test.mask.sum(), abs=1e-5)
    assert found["largestLogitDifference"] == 2 and found["aurocLoss"] > 0

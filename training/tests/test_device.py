"""Where a training runs and how large its network is."""
import numpy as np
import pytest
import torch

from jointlens_training import device, export, train
from jointlens_training.crops import JOINTS, load_crops
from jointlens_training.model import JointModel, parameters_of


def test_a_gpu_that_is_not_there_is_refused_by_name():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert device.chosen("auto").type == "cpu"
    with pytest.raises(ValueError, match="--device cuda"):
        device.chosen("cuda")
    with pytest.raises(ValueError, match="fp16"):
        device.multiplied(torch.device("cpu"), "fp16")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_in_either_precision_leaves_float32_weights_that_export(folders, tmp_path, precision):
    train.train(train.Knobs(data=str(folders["train"]), out=str(tmp_path), epochs=1, batch=16, threads=1, precision=precision))
    model, saved = train.load_model(tmp_path / "model.pt")
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert export.check_parity(model, export.to_onnx(model, 64, 32), load_crops(folders["test"])) <= 1e-4


def test_tier_b_is_as_large_as_the_method_says_and_exports(folders):
    model = JointModel(tier="B").eval()
    assert 22e6 < parameters_of(model) < 24e6  # method/training, section 2
    assert 0.7e6 < parameters_of(JointModel()) < 1e6
    logits = export.run_onnx(export.to_onnx(model, 64, 32), load_crops(folders["test"]), np.arange(2))
    assert logits.shape == (2, len(JOINTS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_pretrains_and_goes_on_after_a_stop(folders, tmp_path):
    knobs = dict(data=str(folders["train"]), out=str(tmp_path), batch=16, threads=1)
    train.train(train.Knobs(epochs=1, **knobs))
    train.train(train.Knobs(epochs=2, resume=True, **knobs))
    assert (tmp_path / "model.pt").exists()

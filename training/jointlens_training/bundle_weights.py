"""The PyTorch network of a bundle, read from its ONNX file: where a site's fine-tuning starts. Batch norms lie folded in its convolutions."""
import hashlib
import json
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from .model import JointModel


def load_bundle(folder):
    """-> (JointModel in eval mode, manifest). ValueError for a bundle whose network file is not its manifest's or is built otherwise."""
    folder = Path(folder)
    manifest, content = json.loads((folder / "manifest.json").read_bytes()), (folder / "model.onnx").read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest["files"]["model.onnx"]["sha256"]:
        raise ValueError(f"Expected the network that {folder}/manifest.json names but received another file")
    if "quantised" in manifest or manifest["fusion"] != "paper":
        raise ValueError(f"Expected a float32 bundle with fusion `paper` but received {manifest['version']}, fusion {manifest['fusion']}")
    graph = onnx.load_from_string(content).graph
    weights = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    model = JointModel(fusion=manifest["fusion"], tier=manifest["tier"], constancy="skin" in weights)
    with torch.no_grad():
        for node in graph.node:
            if node.op_type == "Conv":
                put_convolution(model, module_path(node.name), weights[node.input[1]], weights[node.input[2]])
            elif node.op_type == "MatMul":
                fill(model.get_submodule(module_path(node.name)).weight, weights[node.input[1]].T)
        fill(model.joint, weights["joint"])
        if model.skin is not None:
            fill(model.skin, weights["skin"])
        fill(model.head[-1].bias, weights["head.2.bias"])
    return model.to(memory_format=torch.channels_last).eval(), manifest


def module_path(name):
    """'/local/blocks/blocks.0/first/first.0/Conv' -> 'local.blocks.0.first.0': a scope repeats the name of the list it lies in."""
    parts = name.strip("/").split("/")[:-1]
    kept = [part for part, following in zip(parts, [*parts[1:], ""]) if not following.startswith(f"{part}.")]
    return ".".join(kept)


def put_convolution(model, path, weight, bias):
    """A folded convolution: its weight as it is, its bias in a batch norm that does nothing else."""
    parent, _, index = path.rpartition(".")
    norm = model.get_submodule(parent)[int(index) + 1]
    fill(model.get_submodule(path).weight, weight)
    fill(norm.bias, bias)
    norm.weight.fill_(1)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)


def fill(parameter, value):
    if parameter.shape != value.shape:
        raise ValueError(f"Expected weights of shape {tuple(parameter.shape)} but received {tuple(value.shape)}")
    parameter.copy_(value)


def hold_norms(model):
    """model.train() with the batch norms left as they are: few hands have no statistics of their own."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model

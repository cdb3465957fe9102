"""Trains, calibrates, evaluates and exports the joint model that src/inference runs. See training/README.md."""
import os

# ONNX Runtime tells Microsoft about each session otherwise, the names of the networks and the machine (src/inference/no-telemetry.ts).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

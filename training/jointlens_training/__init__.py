"""Trains, calibrates, evaluates and exports the joint model that src/inference runs. See training/README.md."""

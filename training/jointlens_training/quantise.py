"""
An int8 bundle beside a float32 one (specs of method/training, section 11.3): static, made so that onnxruntime fuses and really gains.
Weights int8 per output channel, symmetric; activations uint8 per tensor, after a ReLU from zero on, so that the ReLU falls away and the
chain from convolution to convolution stays int8. The two stems stay float32: with three input channels int8 is slower (measured, 0.40
against 0.17 ms), and so does the head, which is small. Calibration and thresholds are made anew on the quantised network, not copied.
"""
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .calibrate import calibrate, probability
from .crops import golden_hands, load_crops, pairs_of
from .evaluate import refuse_shared_patients
from .export import REPOSITORY, operators, sha256, write_whole
from .metrics import auprc, auroc
from .run_log import command_line, commit_of
from .train import pictures, prepared

EQUAL_DECISIONS, AUROC_LOSS = 0.995, 0.002  # own bars: short of them the float32 bundle is what ships
TOLERANCE = 0.05  # of a golden logit; processors without VNNI round int8 sums differently


@dataclass(frozen=True)
class Knobs:
    bundle: str = str(REPOSITORY / "models" / "hand-joints" / "0.1.0")
    activations: str = "runs/v2/train-crops"  # ranges of activations: training hands
    calibration: str = "runs/v2/calibration-crops"
    test: str = "runs/v2/test-crops"  # equality with float32 is measured here
    hands: int = 128  # for the ranges
    percentile: float = 99.99  # of an activation; the few above it saturate
    out: str = ""  # empty: beside the bundle, <version>-int8


class Feeds(CalibrationDataReader):
    """Batches of normalised hands for the quantiser."""

    def __init__(self, crops, hands, batch=4):
        rows = np.linspace(0, len(crops) - 1, min(hands, len(crops))).astype(int)
        self.batches = iter([feeds(crops, rows[i : i + batch]) for i in range(0, len(rows), batch)])

    def get_next(self):
        return next(self.batches, None)


def feeds(crops, rows):
    whole, local = prepared(*pictures(crops, rows))
    return {"global": whole.contiguous().numpy(), "local": local.contiguous().numpy()}


def quantise(knobs):
    """Writes the int8 bundle, or ValueError where its decisions differ too often. -> (folder, what was measured)."""
    source = Path(knobs.bundle)
    manifest_bytes = (source / "manifest.json").read_bytes()
    manifest, plain = json.loads(manifest_bytes), (source / "model.onnx").read_bytes()
    ranges, cal, test = (load_crops(folder) for folder in (knobs.activations, knobs.calibration, knobs.test))
    refuse_shared_patients(activations=ranges, calibration=cal, test=test)
    graph = to_int8(plain, Feeds(ranges, knobs.hands), knobs.percentile)
    logits = {name: {part: onnx_logits(g, crops) for part, crops in (("cal", cal), ("test", test))} for name, g in (("fp32", plain), ("int8", graph))}
    old = manifest["calibration"]
    made = calibrate(logits["int8"]["cal"], cal.labels, cal.mask, cal.patients, cal.visits(), old["data"], 0.0, cal.assessable, "context" in old, pairs_of(cal))
    found = compared(logits["fp32"]["test"], logits["int8"]["test"], old, made, test)
    print(json.dumps(found), flush=True)
    if found["equalDecisions"] < EQUAL_DECISIONS or found["aurocLoss"] > AUROC_LOSS:
        raise ValueError(f"Expected at least {EQUAL_DECISIONS:.1%} equal decisions and at most {AUROC_LOSS} less AUROC but received "
                         f"{found['equalDecisions']:.2%} and {found['aurocLoss']:.4f}: ship the float32 bundle")
    version = f"{manifest['version']}-int8"
    folder = Path(knobs.out) if knobs.out else source.parent / version
    write_bundle(folder, source, graph, {
        **manifest, "version": version, "operators": operators(graph), "calibration": made,
        "quantised": {"of": sha256(manifest_bytes), "command": command_line(), "commit": commit_of(), "hands": knobs.hands, "percentile": knobs.percentile, **found}})
    return folder, found


def to_int8(graph, reader, percentile):
    """float32 ONNX bytes -> ONNX bytes whose residual blocks are int8 in QDQ form."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, done = (str(Path(folder) / name) for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        Path(plain).write_bytes(graph)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(ready, done, reader, quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["Conv", "Add", "Relu"],
                        nodes_to_quantize=body_of(onnx.load(ready)), activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                        calibrate_method=CalibrationMethod.Percentile,
                        extra_options={"ActivationSymmetric": False, "WeightSymmetric": True, "CalibPercentile": percentile})
        return Path(done).read_bytes()


def body_of(model):
    """Names of the nodes of the residual blocks: everything between a stem and its mean."""
    return [node.name for node in model.graph.node if node.op_type in ("Conv", "Add", "Relu") and "/blocks/" in node.name]


def onnx_logits(graph, crops, batch=16):
    """Logits [N,11] of all hands by onnxruntime on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    parts = [session.run(["logit"], feeds(crops, np.arange(i, min(i + batch, len(crops)))))[0] for i in range(0, len(crops), batch)]
    return np.concatenate(parts).astype(np.float64)


def compared(plain, quantised, calibration, made, test):
    """
    logits [N,11] of both networks. Decisions at the float32 calibration and threshold, alike for both: what the arithmetic alone
    changes. aurocLoss is float32 less int8; the largest loss of a joint's logit stands beside.
    """
    m, y, cut = test.mask, test.labels[test.mask], calibration["thresholds"]["f1"]
    p, q = (probability(z, calibration, test.assessable, pairs_of(test))[m] for z in (plain, quantised))
    anew = probability(quantised, made, test.assessable, pairs_of(test))[m]
    return {"joints": int(m.sum()), "equalDecisions": round(float(((p >= cut) == (q >= cut)).mean()), 5), "aurocLoss": round(auroc(y, p) - auroc(y, q), 5),
            "auprcLoss": round(auprc(y, p) - auprc(y, anew), 5), "largestLogitDifference": round(float(np.abs(plain - quantised)[m].max()), 4)}


def write_bundle(folder, source, graph, manifest):
    """The files of `source` with another network and manifest; a manifest is written last."""
    card = (source / "MODEL_CARD.md").read_text()
    figures = manifest["quantised"]
    note = (f"\n## int8\n\nThis bundle is the float32 one ({figures['of'][:12]}…) with int8 arithmetic in its residual blocks, calibrated anew. On {figures['joints']} held-out "
            f"joints {figures['equalDecisions']:.2%} of the decisions are equal, AUROC differs by {figures['aurocLoss']:+.4f}. The figures above are the float32 network's. "
            f"Made by `{figures['command']}`.\n")
    golden = (source / "golden" / "inputs.u8").read_bytes()
    files = {"model.onnx": graph, "golden/inputs.u8": golden, "MODEL_CARD.md": (card + note).encode(), "model-card.json": (source / "model-card.json").read_bytes()}
    manifest = {**manifest, "files": {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in files.items()},
                "golden": {**manifest["golden"], "tolerance": TOLERANCE, "logits": [[round(float(z), 6) for z in row] for row in onnx_logits(graph, golden_hands(source))]}}
    for name, content in {**files, "manifest.json": (json.dumps(manifest, indent=2) + "\n").encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, content)

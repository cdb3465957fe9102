"""
The bundle that src/inference reads: ONNX, golden vectors, model card, manifest. PyTorch and onnxruntime must agree on the same crops
before a manifest is written (method/training, section 11).
"""
import hashlib
import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from .card import model_card, source_attributes
from .crops import JOINTS, MEAN, STD, golden_hands, load_crops
from .train import load_model, pictures, prepared

REPOSITORY = Path(__file__).parents[2]
OPSET = 17
PARITY = 1e-4
LANDMARKS = "@mediapipe/hands@0.4.1675469240"


@dataclass(frozen=True)
class Knobs:
    model: str = "runs/v2/model"
    golden: str = "runs/v2/test-crops"  # crops, two of whose hands become the golden inputs; or a bundle, whose golden hands serve again
    summary: str = str(Path(__file__).parents[1] / "results" / "summary.json")
    version: str = "0.1.0"
    serial: int = 1
    out: str = str(REPOSITORY / "models" / "hand-joints")
    labels: str = "two simulated readers and a third where they differ, of computer-made swelling"
    evidence: str = "synthetic"  # synthetic, proxy, clinical: what the figures were measured on
    licence: str = "Apache-2.0"
    # Gates, own bars: 0.0065 lies under the softest training hand (0.007) and soft but readable real photos (0.009), and above real
    # photos blurred by 2 % of a palm length (0.003 to 0.0064), where folds are gone.
    min_sharpness: float = 0.0065
    min_brightness: float = 0.08
    max_brightness: float = 0.97


def export(knobs):
    """Writes <out>/<version>/ whole or not at all: built beside, then moved into place. -> its folder."""
    model, saved = load_model(Path(knobs.model) / "model.pt")
    calibration = json.loads((Path(knobs.model) / "calibration.json").read_text())
    summary = json.loads(Path(knobs.summary).read_text())
    if summary["modelSha256"] != sha256((Path(knobs.model) / "model.pt").read_bytes()) or summary["calibration"] != calibration:
        raise ValueError(f"Expected figures of the model and calibration in {knobs.model} but {knobs.summary} speaks of others; evaluate first")
    again = (Path(knobs.golden) / "manifest.json").exists()
    crops = golden_hands(knobs.golden) if again else load_crops(knobs.golden)
    sizes = crops.whole.shape[1], crops.local.shape[2]
    graph = to_onnx(model, *sizes)
    worst = check_parity(model, graph, crops)
    print(f"PyTorch and onnxruntime differ by at most {worst:.1e} in a logit", flush=True)
    rows = np.arange(len(crops)) if again else np.array([0, len(crops) // 2])
    golden = b"".join(crops.whole[i].tobytes() + crops.local[i].tobytes() for i in rows)
    card = source_attributes(summary, knobs.version)
    files = {
        "model.onnx": graph,
        "golden/inputs.u8": golden,
        "MODEL_CARD.md": model_card(summary, card, calibration, knobs.version).encode(),
        "model-card.json": (json.dumps(card, indent=2) + "\n").encode(),
    }
    manifest = {
        "schema": 1, "name": "hand-joints", "version": knobs.version, "serial": knobs.serial, "tier": saved["knobs"].get("tier", "S"),
        "fusion": saved["knobs"]["fusion"], "status": "research", "evidence": knobs.evidence,
        "files": {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in files.items()},
        "inputs": {"global": {"size": sizes[0]}, "local": {"size": sizes[1]}, "mean": list(MEAN), "std": list(STD), "colour": "rgb"},
        "jointOrder": list(JOINTS),
        "crops": {"globalMargin": 0.15, "scales": {"wrist": 1.0, "mcp": 0.55, "pip": 0.45}, "mcpProximalShift": 0},
        "opset": OPSET, "operators": operators(graph), "runtime": f"onnxruntime {onnxruntime.__version__}, onnxruntime-node 1.30.0",
        "landmarks": landmarks_of(crops),
        "calibration": calibration,
        "gates": {"handPresence": 0.5, "palmLengthFraction": 0.08, "minSharpness": knobs.min_sharpness, "minBrightness": knobs.min_brightness,
                  "maxBrightness": knobs.max_brightness, "minSideConfidence": 0.6, "minCropPx": 32},
        "golden": {"hands": len(rows), "inputs": "golden/inputs.u8", "tolerance": 0.001,
                   "logits": [[round(float(z), 6) for z in row] for row in run_onnx(graph, crops, rows)]},
        "training": saved["training"],
        "labels": {"source": knobs.labels, "readerKappa": summary["data"]["readerKappa"]},
        "weightLicence": knobs.licence,
    }
    folder = Path(knobs.out) / knobs.version
    for name, content in {**files, "manifest.json": (json.dumps(manifest, indent=2) + "\n").encode()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, content)
    print(f"{folder}: {len(graph)} bytes of ONNX, {', '.join(manifest['operators'])}", flush=True)
    return folder


def to_onnx(model, whole_size, local_size):
    """-> bytes of a float32 ONNX with inputs global [N,3,S,S], local [N,11,3,h,h] and output logit [N,11], N free, no external data."""
    example = torch.zeros(2, 3, whole_size, whole_size), torch.zeros(2, len(JOINTS), 3, local_size, local_size)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), example, buffer, input_names=["global", "local"], output_names=["logit"], opset_version=OPSET,
                          dynamic_axes={name: {0: "N"} for name in ("global", "local", "logit")}, do_constant_folding=True, dynamo=False)
    graph = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(graph)
    return buffer.getvalue()


def run_onnx(graph, crops, rows):
    """Logits [K,11] of rows by onnxruntime on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    whole, local = prepared(*pictures(crops, rows))
    return session.run(["logit"], {"global": whole.contiguous().numpy(), "local": local.contiguous().numpy()})[0]


def check_parity(model, graph, crops, hands=16):
    """Largest difference of a logit over batches of 1, 3 and up to `hands` hands; above PARITY is an AssertionError."""
    worst = 0.0
    for n in (1, 3, min(hands, len(crops))):
        rows = np.arange(min(n, len(crops)))
        with torch.no_grad():
            expected = model.eval()(*prepared(*pictures(crops, rows))).numpy()
        worst = max(worst, float(np.abs(run_onnx(graph, crops, rows) - expected).max()))
    assert worst <= PARITY, f"Expected PyTorch and onnxruntime to agree within {PARITY} but they differ by {worst}"
    return worst


def operators(graph):
    """Sorted operator types of the graph, each once; refuses external data."""
    parsed = onnx.load_from_string(graph)
    assert not any(tensor.external_data for tensor in parsed.graph.initializer), "Expected weights inside the file"
    return sorted({node.op_type for node in parsed.graph.node})


def landmarks_of(crops):
    """{package, digest} of the landmark networks that cut the crops; all hands must share them."""
    found = {row.get("landmarksDigest") for row in crops.rows}
    if len(found) != 1:
        raise ValueError(f"Expected crops cut with one set of landmark networks but received {len(found)}")
    digest = found.pop()
    return {"package": LANDMARKS, **({"digest": digest} if digest else {})}


def write_whole(path, content):
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class DemoKnobs:
    model: str = "runs/v2/model"
    bundle: str = str(REPOSITORY / "models" / "hand-joints" / "0.1.0")
    out: str = str(REPOSITORY / "demo" / "calibration.json")


def demo_calibration(knobs):
    """demo/calibration.json: what a site makes from its own patients, here made from synthetic ones and bound to one model."""
    write_calibration(knobs.bundle, knobs.out, "synthetic demo patients")


def write_calibration(bundle, out, data):
    """A calibration file as the service reads it: the bundle's own calibration, made of `data`, bound to its digest."""
    manifest = (Path(bundle) / "manifest.json").read_bytes()
    calibration = {**json.loads(manifest)["calibration"], "data": data}
    write_whole(Path(out), (json.dumps({"modelDigest": sha256(manifest), "calibration": calibration}, indent=2) + "\n").encode())
    print(f"{out} belongs to model {sha256(manifest)}", flush=True)

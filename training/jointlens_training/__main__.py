"""python -m jointlens_training <step> [--knob value ...]; each step says what it does and where it leaves its result."""
import argparse
import dataclasses
import inspect
import re
import sys

from . import calibration_step, compare, evaluate, export, fewshot, finetune, pretrain, quantise, retrain, train, transfer

STEPS = {
    "pretrain": (pretrain.Knobs, pretrain.pretrain, "learn both encoders on healthy hands without labels"),
    "train": (train.Knobs, train.train, "fine-tune the global-local model on labelled joints"),
    "retrain": (retrain.Knobs, retrain.retrain, "a new classifier on class-balanced joints, encoders as they are"),
    "calibrate": (calibration_step.Knobs, calibration_step.calibrate_model, "priors, temperature, thresholds, interval factor"),
    "evaluate": (evaluate.Knobs, evaluate.evaluate, "held-out figures beside trivial baselines"),
    "compare": (compare.Knobs, compare.compare, "the method beside competitors, ablations and controls, all trained alike"),
    "few-shot": (fewshot.Knobs, fewshot.few_shot, "few labelled people: pretrained then fine-tuned, from scratch, frozen features"),
    "transfer": (transfer.Knobs, transfer.transfer, "figures on hands of makers that training never saw, and false alarms on untouched real photos"),
    "finetune": (finetune.Knobs, finetune.finetune, "a site's own photos and labels: nested cross-validation, calibration, bundle"),
    "export": (export.Knobs, export.export, "ONNX, golden vectors, model card and manifest"),
    "quantise": (quantise.Knobs, quantise.quantise, "an int8 bundle beside a float32 one, when its decisions are equal"),
    "demo-calibration": (export.DemoKnobs, export.demo_calibration, "calibration file of the demo, bound to the exported model"),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m jointlens_training", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, (knobs, _, says) in STEPS.items():
        step = steps.add_parser(name, help=says, description=says, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        words = words_of(knobs)
        for field in dataclasses.fields(knobs):
            option = f"--{field.name.replace('_', '-')}"
            if isinstance(field.default, tuple):  # may be given again and again
                step.add_argument(option, dest=field.name, action="append", default=list(field.default), help=words.get(field.name, " "))
                continue
            kind = yes_or_no if isinstance(field.default, bool) else type(field.default)
            step.add_argument(option, dest=field.name, type=kind, default=field.default, help=words.get(field.name, " "))
    chosen = vars(parser.parse_args())
    knobs, run, _ = STEPS[chosen.pop("step")]
    try:
        run(knobs(**chosen))
    except (ValueError, OSError) as error:  # what was given cannot be used, and why
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("Stopped.")


def words_of(knobs):
    """What stands beside the knobs in their file, for --help."""
    return {name: said.replace("%", "%%") for name, said in re.findall(r"^    (\w+): .*  # (.+)$", inspect.getsource(knobs), re.MULTILINE)}


def yes_or_no(text):
    if text.lower() in ("true", "yes", "1"):
        return True
    if text.lower() in ("false", "no", "0"):
        return False
    raise argparse.ArgumentTypeError(f"Expected true or false but received {text}")


main()

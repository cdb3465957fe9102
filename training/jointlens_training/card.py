"""Model card for people (MODEL_CARD.md) and the 31 source attributes of 45 CFR 170.315(b)(11) (model-card.json), from the measured figures."""
from .altered import altered_table
from .evaluate import NOT_EVALUABLE, interval, parts_table

NOT_AVAILABLE = "Not available"

PLAIN_WORDS = (
    "The bundled model was trained on computer-made hands only. It has never seen a patient with rheumatoid arthritis. Its idea of a swollen joint was set by "
    "the developers from published descriptions and has not been checked by a rheumatologist. It cannot see tenderness, warmth, or synovitis without visible "
    "swelling. Agreement on synthetic or edited pictures says nothing about accuracy in patients. Expect worse results for MCP joints, mild swelling, dark skin, "
    "OA nodes, old deformities, bent fingers and poor light."
)


SITE_WORDS = (
    "This model was fine-tuned on photographs of {patients} patients of one site, from the bundled model, which was trained on computer-made hands only. Its figures come from "
    "patients of that site held out by nested cross-validation; it is not known how it does anywhere else. It learned what that site's clinicians wrote down, with their errors. It cannot see "
    "tenderness, warmth, or synovitis without visible swelling. It is promoted by a person, after a comparison in shadow mode, and never by itself."
)


def of_a_site(summary):
    """Made by `finetune` from another bundle."""
    return "base" in summary["training"]


def count_words(summary):
    count = summary["count"]
    if count["meanAbsoluteError"] is None:
        return f"Count per visit: {NOT_EVALUABLE}, {count['visits']} visits of too few patients."
    return (f"Count per visit: mean absolute error {count['meanAbsoluteError']:.2f}; the 90 % interval holds the true count in {summary['countIntervalCoverage']:.1%} of {count['visits']} visits "
            f"at a mean width of {count['meanIntervalWidth']:.1f}.")


def kept_from(summary):
    """Version of the bundle whose calibration a site's too few patients kept, or None."""
    return summary["training"].get("calibrationKeptFrom")


def kept_calibration_words(summary):
    return (f"Calibration, thresholds and count interval are those of version {kept_from(summary)}: {summary['data']['patients']} patients with {summary['data']['positives']} swollen joints "
            "are too few to make them anew, or to check them, so probabilities and counts are not known to be right for this site.")


def figure(value, form):
    """'-' for what was not measured."""
    return "-" if value is None else format(value, form)


def site_attributes(summary):
    """What differs from the bundled model's attributes in a site's own."""
    data = summary["data"]
    return {
        "developer": "The site that ran `jointlens_training finetune`, starting from the JointLens maintainers' bundle",
        "intendedPopulation": "Adults with a recorded diagnosis of rheumatoid arthritis at the site whose patients it was fine-tuned on; not known to be valid elsewhere",
        "knownRisks": "Misses swelling, most of all mild swelling; takes bony nodes and redness for swelling; may under-count when many joints are swollen; cannot see tenderness; repeats errors of the site's labels",
        "trainingCriteria": f"{data['patients']} patients, {data['hands']} hands seen from the back, {data['positiveRate']:.1%} of labelled joints swollen; evidence: {data['evidence']}",
        "trainingDemographics": NOT_AVAILABLE,
        "trainingRelevance": "The site's own photographs and findings",
        "fairnessApproach": "Colour jitter limits what redness can decide; skin tones are not among the labels",
        "biasManagement": "Groups with fewer than 20 positive joints are called not evaluable; differences to the starting bundle are paired by patient",
        "internalFairness": "Not available: skin tones are not among the labels",
    }


def meshes_of(training):
    """In words; earlier runs did not name their one mesh, and knew no edition of the generator but the first."""
    names = training.get("meshes") or ["webxr"]
    editions = [f"edition {edition}" for edition in training.get("editions", []) if edition != 1]
    return f"{'one hand mesh' if len(names) == 1 else f'{len(names)} kinds of hand mesh'} ({', '.join([*names, *editions])})"


def source_attributes(summary, version):
    """-> {name, version, evidence, status, sourceAttributes: {31 keys}}. Empty texts are refused."""
    data, training = summary["data"], summary["training"]
    figures = summary["modelIntervals"]
    held_out = "Patients of the site, held out by nested cross-validation" if of_a_site(summary) else "Synthetic only. Computer-made patients held out"
    validity = (f"{held_out}: {data['patients']} patients, {data['joints']} joints, {data['positiveRate']:.1%} positive: "
                + ", ".join(f"{name} {interval(figures[key])}" for name, key in (("AUROC", "auroc"), ("AUPRC", "auprc"), ("F1", "f1"), ("G-mean", "gmean")))
                + f"; expected calibration error {figure(summary['ece'], '.3f')}; 90 % count interval covers {figure(summary['countIntervalCoverage'], '.1%')} of visits."
                + (f" {kept_calibration_words(summary)}" if kept_from(summary) else ""))
    fairness = "Synthetic skin tones only. " + "; ".join(
        f"{name}: {part if part == NOT_EVALUABLE else 'AUROC ' + format(part['auroc'], '.3f')}" for name, part in summary["perSkinTone"].items())
    attributes = {
        "developer": "The JointLens maintainers; contact through the project's repository",
        "funding": NOT_AVAILABLE,
        "outputValue": "For each of 11 joints of a hand a calibrated probability of visible swelling; per visit a suggested hand swollen-joint count, 0 to 22, with a 90 % interval",
        "outputType": "prediction",
        "intendedUse": "Research: to suggest which hand joints to examine first and to offer an unconfirmed hand swollen-joint count that a clinician confirms or corrects",
        "intendedPopulation": "Adults with a recorded diagnosis of rheumatoid arthritis. Not known to be valid in them: the model has seen computer-made hands only",
        "intendedUsers": "Clinicians who examine joints, in studies",
        "decisionRole": "informs",
        "cautionedUse": "No diagnosis, no classification of RA, no treatment decision, no triage by the number alone; no children; no palmar views; not for other causes of swelling",
        "knownRisks": "Misses swelling, most of all mild swelling; takes bony nodes and redness for swelling; may under-count when many joints are swollen; cannot see tenderness; behaves in unknown ways on real patients",
        "trainingCriteria": f"{training.get('patients', NOT_AVAILABLE)} computer-made patients, {training.get('hands', NOT_AVAILABLE)} hands seen from the back, "
                            f"{training['positiveRate']:.0%} of joints swollen by design, {meshes_of(training)} in varied builds; no real photographs" if "positiveRate" in training else NOT_AVAILABLE,
        "inputVariables": "None of race, ethnicity, language, sexual orientation, gender identity, sex, date of birth, social determinants or health status is an input; the photograph and the joint's place are",
        "trainingDemographics": "Skin tones Monk 1 to 10 in equal shares and ages 20 to 86 as a renderer draws them; not representative of people",
        "trainingRelevance": "Low: made to resemble phone photographs of the back of a hand; no clinic, no patient",
        "fairnessApproach": "Skin tones in equal shares in training; colour jitter limits what redness can decide; figures per skin-tone group",
        "biasManagement": "Groups with fewer than 20 positive joints are called not evaluable; background-only and hidden-hand controls are reported",
        "externalDataSource": NOT_AVAILABLE,
        "externalTester": NOT_AVAILABLE,
        "externalDemographics": NOT_AVAILABLE,
        "externalProcess": NOT_AVAILABLE,
        "internalValidity": validity,
        "internalFairness": fairness,
        "externalValidity": NOT_AVAILABLE,
        "externalFairness": NOT_AVAILABLE,
        "outcomeEvaluation": NOT_AVAILABLE,
        "validityMonitoring": "By the site: shadow mode first, clinicians' corrections are stored as labels; no fixed frequency is set for a research model",
        "localValidity": "Not available: each site measures its own before anything is shown",
        "fairnessMonitoring": "By the site, with the same figures per skin-tone group; no fixed frequency is set for a research model",
        "localFairness": NOT_AVAILABLE,
        "updateProcess": "A new version is trained, evaluated and exported by the commands in training/README.md; digests change with it and a site's calibration must be made anew",
        "performanceCorrection": "When a site's figures fall short the model is recalibrated or switched off; no fixed frequency is set for a research model",
    }
    if of_a_site(summary):
        attributes |= site_attributes(summary)
    empty = [key for key, text in attributes.items() if not str(text).strip()]
    assert len(attributes) == 31 and not empty, f"Expected 31 filled source attributes but received {len(attributes)}, empty: {empty}"
    return {"name": "hand-joints", "version": version, "status": "research", "evidence": data["evidence"], "sourceAttributes": attributes}


def elsewhere(summary):
    """Markdown lines of what becomes of the model on hands of other makers and in other light, as far as it was measured."""
    lines = []
    if summary.get("transferAuroc") is not None:
        lines += [f"On hands of makers that training never saw the AUROC is {summary['transferAuroc']:.3f} at the lowest ({summary['scales']['transfer']})."]
    if summary.get("transferFalseAlarms") is not None:
        lines += [f"**Expect false alarms in real photographs**: of joints without swelling in untouched ones {summary['transferFalseAlarms']:.0%} are flagged at the threshold that flags one in ten computer-made ones."]
    return [" ".join(lines), ""] * bool(lines) + (altered_table(summary["altered"]) if summary.get("altered") else [])


def stopping_words(summary):
    """The figures are those of the folds' networks; with 0 epochs, the one they started from."""
    folds = ", ".join(map(str, summary["stoppedInFolds"]))
    if summary["stopped"] == 0:
        return f"It is the network it started from, unchanged: no learning ranked the joints of other patients better. The networks that were judged in the folds learned for {folds} epochs."
    return f"It learned for {summary['stopped']} epochs, the networks that were judged in the folds for {folds}; 0 is the network it started from."


def unread_words(summary):
    """What a site labelled and nobody could read: it is in no figure."""
    if not of_a_site(summary):
        return ""
    unread = summary["unread"]
    reasons = ", ".join(f"{reason} {count}" for reason, count in unread["reasons"].items())
    return f" {unread['notLocated']:.1%} of {unread['photos']} labelled hands{f' ({reasons})' if reasons else ''} and {unread['jointsMasked']:.1%} of the joints of the others could not be read and are in no figure."


def slices_table(slices):
    """What is flagged of joints with one thing in common; a site's labels do not say such things."""
    if not slices:
        return []
    return ["| at the count threshold | joints | flagged |", "|---|---|---|",
            *[f"| {name} | {part['joints']} | {'-' if part['flagged'] is None else format(part['flagged'], '.1%')} |" for name, part in slices.items()], ""]


def model_card(summary, card, calibration, version):
    """Markdown; every figure from the summary."""
    data, training = summary["data"], summary["training"]
    names = (("AUROC", "auroc"), ("AUPRC", "auprc"), ("F1", "f1"), ("G-mean", "gmean"))
    rows = {"**this model**": summary["modelIntervals"], **summary["baselines"]}
    t = calibration["thresholds"]
    lines = [
        f"# hand-joints {version}", "",
        f"**Evidence: {data['evidence']}. {'Fine-tuned and tested on one site' if of_a_site(summary) else 'Trained and tested on computer-made hands only'}; research use; not a cleared or certified device.**", "",
        "## In plain words", "", SITE_WORDS.format(**data) if of_a_site(summary) else PLAIN_WORDS, "",
        "## What it is", "",
        "A global encoder sees the whole hand, a local encoder sees each of 11 joints, and both are fused per joint to one logit: a reconstruction from the abstract of "
        "arXiv 2602.14365, which has no published code or weights. "
        "The calibrated probability is sigmoid((logit + prior log-odds of the joint) / temperature + bias)"
        + (", then weighed with the mean probability of the hand's other readable joints, because RA swells several joints of a hand or none" if "context" in calibration else "")
        + (", then with the same joint and the mean of the other hand of the visit, because RA is roughly symmetric" if "pair" in calibration else "")
        + "; priors and thresholds stand in the manifest, not in the network.", "",
        f"Trained with `{training['command']}` (seed {training['seed']}, commit {training['commit']}, data {training['dataSha256'][:12]}…).", "",
        *([stopping_words(summary), ""] if of_a_site(summary) else []),
        *([f"**{kept_calibration_words(summary)}**", ""] if kept_from(summary) else []),
        f"## Held-out figures ({data['evidence']})", "",
        f"{data['patients']} patients, {data['hands']} hands, {data['joints']} joints, {data['positiveRate']:.1%} swollen by {'the labels' if of_a_site(summary) else 'simulated readers'}"
        + (f" whose kappa is {data['readerKappa']:.2f}" if data["readerKappa"] is not None else "") + ". 95 % intervals from patient bootstraps." + unread_words(summary), "",
        "| | " + " | ".join(name for name, _ in names) + " |", "|---|---|---|---|---|",
        *[f"| {name} | " + " | ".join(interval(row[key]) for _, key in names) + " |" for name, row in rows.items()], "",
        ("" if summary["backgroundAuroc"] is None else f"Background only, without any hand: AUROC {summary['backgroundAuroc']:.3f}. ") + f"Expected calibration error {figure(summary['ece'], '.3f')}. "
        f"{count_words(summary)} It may under-count when many joints are swollen.", "",
        *elsewhere(summary),
        *parts_table("Joint group", summary["perGroup"]), *parts_table("Skin tone", summary["perSkinTone"]),
        *slices_table(summary["slices"]),
        f"Thresholds, from {calibration['patients']} calibration patients ({calibration['data']}): {t['f1']:.3f} for the count (F1), {t['gmean']:.3f} (G-mean), {t['sensitivity90']:.3f} (look here first, sensitivity 90 %). "
        + ("They were not made from this site's patients." if kept_from(summary) else "They are this site's and do not transfer to another." if of_a_site(summary) else "They do not transfer to real photographs: a site calibrates on its own patients before anything is shown."), "",
        "Not measured: " + ("; ".join(f"{key} ({why})" for key, why in summary["notes"].items()) or "nothing") + ".", "",
        "## Source attributes", "",
        *[f"- **{key}**: {text}" for key, text in card["sourceAttributes"].items()], ""]
    return "\n".join(lines)


/** The pages that are made here: two of the authorization server, and the chart's frame for an app. */

/** Standalone launch: the app comes without a patient, so the clinician chooses one. `action` is where the choice is posted. */
export function pickerPage(action: string, clinician: string, patients: readonly { readonly id: string; readonly name: string }[]): string {
  const choices = patients.map(({ id, name }) =>
    `<li><button class="choice" name="patient" value="${escaped(id)}">${escaped(name)} <span class="quiet">${escaped(id)}</span></button></li>`)
  return page('Choose a patient', `<h1>Choose a patient</h1>
<p>An app asks to open a patient's record. You are signed in as <strong>${escaped(clinician)}</strong>; this demo asks for no password.</p>
<form method="post" action="${escaped(action)}"><ul class="plain choices">${choices.join('')}</ul></form>`)
}

/** An app inside the EHR: a frame of 900 px, the width that an EHR's work area often leaves. */
export function framePage(launch: string, patient: string): string {
  return page(`JointLens for ${patient}`, `<h1>${escaped(patient)}</h1>
<iframe class="app" title="JointLens" width="900" height="1000" allow="camera" src="${escaped(launch)}"></iframe>`)
}

export function refusalPage(advice: string): string {
  return page('The app cannot open', `<h1>The app cannot open</h1><p>${escaped(advice)}</p>`)
}

function page(title: string, main: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · demo EHR</title><link rel="stylesheet" href="/assets/style.css"></head><body>
<p class="banner" role="note">Synthetic demo: computer-made hands, demo calibration, research software</p>
<main class="narrow">${main}</main></body></html>`
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`)
}

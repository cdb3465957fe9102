import { ERROR_CODES, type ErrorCode } from '../../src/errors.ts'
import { escapeHtml, pageOf, type Page } from '../../src/plain-page.ts'

const WORDS = {
  en: {
    ended: ['Your session has ended', 'Open JointLens again from the patient record. What was kept as a draft is there for eight hours.'],
    refused: ['JointLens cannot open', 'Go back to the patient record and open JointLens there again. If it happens again, show this page to your IT department.'],
    ehr: ['The EHR did not answer', 'Wait a moment, then open JointLens again from the patient record.']
  },
  de: {
    ended: ['Ihre Sitzung ist beendet', 'Öffnen Sie JointLens noch einmal aus der Patientenakte. Was als Entwurf aufgehoben wurde, ist acht Stunden lang da.'],
    refused: ['JointLens kann nicht geöffnet werden', 'Gehen Sie zurück zur Patientenakte und öffnen Sie JointLens dort noch einmal. Geschieht es wieder, zeigen Sie diese Seite Ihrer IT.'],
    ehr: ['Das Praxissystem hat nicht geantwortet', 'Warten Sie einen Augenblick und öffnen Sie JointLens dann noch einmal aus der Patientenakte.']
  }
} as const satisfies Record<'en' | 'de', Record<string, readonly [string, string]>>

const KINDS: Partial<Record<ErrorCode, keyof (typeof WORDS)['en']>> = {
  ERR_SESSION: 'ended', ERR_EHR_UNREACHABLE: 'ehr', ERR_EHR_ANSWER: 'ehr'
}

/** For people who land on a page that cannot be opened: what to do, and small print for whoever looks after the installation. EHR frames may show it. */
export function refusalPage(code: ErrorCode, detail: string, language: 'en' | 'de', framedBy: readonly string[]): Page {
  const [title, advice] = WORDS[language][KINDS[code] ?? 'refused']
  const small = ERROR_CODES[code].status < 500 && code !== 'ERR_SESSION' ? `${detail} (${code})` : code
  return pageOf(`JointLens – ${title}`, `<h1>${escapeHtml(title)}</h1><p>${escapeHtml(advice)}</p><p lang="en"><small>${escapeHtml(small)}</small></p>`, language, framedBy)
}

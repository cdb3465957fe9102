import { percentOf } from '../../../src/joints/finding.ts'
import type { HandJoint, Laterality } from '../../../src/joints/hand-joint.ts'
import { closeUpUrl, type EarlierVisit } from './api.ts'
import { dayOf, findingWords, fullJointName, useWords } from './words.ts'

/** The chosen joint must stay above them; older visits are in the table. */
const SHOWN = 3

/** The same joint then, beside the close-up of now: picture, day and what the model said. */
export function EarlierCloseUps({ visits, side, joint }: { visits: readonly EarlierVisit[]; side: Laterality; joint: HandJoint }) {
  const w = useWords()
  const name = fullJointName(w, side, joint)
  const seen = visits.flatMap(({ id, photoTime, findings, photos }) => {
    const photo = photos.find(({ sides }) => sides.includes(side))
    const finding = findings.find((one) => one.side === side && one.joint === joint)
    return photo && finding ? [{ id, photo: photo.id, finding, day: dayOf(w, photoTime) }] : []
  }).slice(0, SHOWN)
  if (seen.length === 0) return null
  return (
    <section className="then" aria-label={w.earlier(name)}>
      <h3>{w.earlier(name)}</h3>
      {seen.map(({ id, photo, finding, day }) => (
        <figure key={id}>
          <img src={closeUpUrl(photo, side, joint)} alt={`${w.closeUp(name)}, ${day}`} loading="lazy" width={150} height={150} />
          <figcaption>{day}: {findingWords(w, finding)}{finding.kind === 'assessed' ? ` (${percentOf(finding.probability)} %)` : ''}</figcaption>
        </figure>
      ))}
    </section>
  )
}

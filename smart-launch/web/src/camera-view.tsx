import { useState, type ChangeEvent } from 'react'
import type { Laterality } from '../../../src/joints/hand-joint.ts'
import { shotOfFile, shotOfVideo, useCamera, type Shot } from './camera.ts'
import { useCaptureWords } from './capture-words.ts'
import { HandOutline } from './hand-outline.tsx'

/** The camera with an outline of the hand drawn over it, hints while aiming, and a file as the other way. */
export function CameraView({ side, onShot }: { side: Laterality; onShot(shot: Shot): void }) {
  const c = useCaptureWords()
  const { video, state, live, name } = useCamera(true)
  const [unreadable, setUnreadable] = useState(false)
  const take = () => { if (video.current) void shotOfVideo(video.current, name).then(onShot) }
  const choose = (event: ChangeEvent<HTMLInputElement>) => {
    const file = event.target.files?.[0]
    event.target.value = ''
    setUnreadable(false)
    if (file) shotOfFile(file).then(onShot, () => setUnreadable(true))
  }
  const hint = state === 'waiting' ? c.waiting : state === 'none' ? c.noCamera : live[0] ? c.local[live[0]] : c.live
  return (
    <>
      <p className="lead">{c.lead[side]}</p>
      <div className="viewfinder" hidden={state === 'none'} role="img" aria-label={c.picture(c.hand[side])}>
        <video ref={video} playsInline muted aria-hidden="true" />
        <svg viewBox="0 0 200 262" aria-hidden="true"><HandOutline side={side} /></svg>
      </div>
      <p role="status" className="hint">{unreadable ? c.unreadable : hint}</p>
      <div className="actions">
        {state !== 'none' && <button type="button" className="primary" disabled={state !== 'on'} onClick={take}>{c.take}</button>}
        <label className={`button${state === 'none' ? ' primary' : ''}`}>{state === 'none' ? c.fileOnly : c.file}
          <input type="file" className="visually-hidden" accept="image/jpeg,image/png,image/webp,image/*" onChange={choose} />
        </label>
      </div>
      <ul className="tips">{c.tips.map((tip) => <li key={tip}>{tip}</li>)}</ul>
    </>
  )
}

import type { CSSProperties } from 'react'
import { useWords } from './words.ts'

/** How the photos are shown, 1 as they are. For looking only: the model reads the photo as it is. */
export interface Light { readonly brightness: number; readonly contrast: number }

export const AS_TAKEN: Light = { brightness: 1, contrast: 1 }
const RANGE = { least: 0.5, most: 2, step: 0.1 } as const
const NAMES = ['brightness', 'contrast'] as const

/** By so many steps; rounded, so that the way back ends where it began. */
export function lit(light: Light, name: keyof Light, steps: number): Light {
  const value = Math.round((light[name] + steps * RANGE.step) * 10) / 10
  return { ...light, [name]: Math.min(RANGE.most, Math.max(RANGE.least, value)) }
}

/** For the part of the page that holds the photos and close-ups. */
export function lightOf({ brightness, contrast }: Light): CSSProperties {
  return (brightness === 1 && contrast === 1 ? {} : { '--light': `brightness(${brightness}) contrast(${contrast})` }) as CSSProperties
}

export function LightControls({ light, onLight }: { readonly light: Light; onLight(light: Light): void }) {
  const w = useWords()
  const isChanged = NAMES.some((name) => light[name] !== 1)
  return (
    <div className="light" role="group" aria-label={w.light.title}>
      {NAMES.map((name) => (
        <label key={name}>{w.light[name]} <input type="range" min={RANGE.least} max={RANGE.most} step={RANGE.step} value={light[name]} aria-valuetext={`${Math.round(light[name] * 100)} %`} onChange={(event) => onLight({ ...light, [name]: Number(event.target.value) })} /></label>
      ))}
      {isChanged && <><button type="button" className="quiet" onClick={() => onLight(AS_TAKEN)}>{w.light.asTaken}</button><small>{w.light.note}</small></>}
    </div>
  )
}

import { useEffect, useState } from 'react'
import type { HandJoint, Laterality } from '../../../src/joints/hand-joint.ts'
import { coveredProbability, mapFocus, type OcclusionMap } from '../../../src/joints/occlusion-map.ts'
import { percentOf, type PhotoRegion } from '../../../src/joints/finding.ts'
import { readMap } from './api.ts'
import { useWords } from './words.ts'

export type MapState = { readonly kind: 'loading' } | { readonly kind: 'failed'; readonly message: string } | { readonly kind: 'shown'; readonly map: OcclusionMap }

/** Asks for the map of a joint while `wanted`; an answer that comes after another joint was chosen is dropped. */
export function useMap(wanted: boolean, photo: string | undefined, side: Laterality, joint: HandJoint): MapState | undefined {
  const [state, setState] = useState<MapState>()
  useEffect(() => {
    setState(undefined)
    if (!wanted || photo === undefined) return
    let current = true
    const show = (next: MapState) => { if (current) setState(next) }
    show({ kind: 'loading' })
    readMap(photo, side, joint).then((map) => show({ kind: 'shown', map }), (error: unknown) => show({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }))
    return () => { current = false }
  }, [wanted, photo, side, joint])
  return state
}

/** Lines that a weak cell does not get: the strongest are outlined too, so that colour is never alone. */
const STRONG = 0.6
/** Below this share of the strongest cell nothing is painted. */
const FAINT = 0.12

/** The cells over the close-up: orange speaks for swelling, hatched blue against; the stronger the denser. */
export function MapOverlay({ map, region }: { map: OcclusionMap; region: PhotoRegion }) {
  const [origin, right, down] = map.corners
  const side = (to: typeof origin) => ({ x: (to.x - origin.x) / map.grid, y: (to.y - origin.y) / map.grid })
  const [across, along] = [side(right), side(down)]
  const matrix = [across.x, across.y, along.x, along.y, origin.x - region.x, origin.y - region.y].join(' ')
  const strongest = Math.max(...map.drops.map(Math.abs))
  if (mapFocus(map) === 'none') return null
  return (
    <svg className="map" viewBox={`0 0 ${region.width} ${region.height}`} preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      <defs>
        <pattern id="hatch" width=".34" height=".34" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V.34" /></pattern>
      </defs>
      <g transform={`matrix(${matrix})`}>
        {map.drops.map((drop, cell) => {
          const share = Math.abs(drop) / strongest
          if (share < FAINT) return null
          const [x, y] = [cell % map.grid, Math.floor(cell / map.grid)]
          return (
            <g key={cell} className={`cell ${drop > 0 ? 'for' : 'against'}${share >= STRONG ? ' strong' : ''}`}>
              <rect className="fill" x={x} y={y} width={1} height={1} fillOpacity={0.15 + 0.5 * share} />
              {drop < 0 && <rect fill="url(#hatch)" x={x} y={y} width={1} height={1} />}
              {share >= STRONG && <rect className="edge" x={x + 0.06} y={y + 0.06} width={0.88} height={0.88} />}
            </g>
          )
        })}
      </g>
    </svg>
  )
}

/** The same in words, with what covering the strongest cells makes of the probability, and what the map cannot show. */
export function MapWords({ state }: { state: MapState }) {
  const w = useWords()
  if (state.kind === 'loading') return <p className="map-words" role="status">{w.mapLoading}</p>
  if (state.kind === 'failed') return <p className="map-words" role="status">{w.mapFailed} {state.message}</p>
  const { map } = state
  const focus = mapFocus(map)
  const percentAt = (drop: number) => percentOf(coveredProbability(map, drop))
  const [lowest, highest] = [percentAt(Math.max(0, ...map.drops)), percentAt(Math.min(0, ...map.drops))]
  return (
    <div className="map-words" role="status">
      <p>{w.mapFocus[focus]}</p>
      {focus !== 'none' && (
        <ul className="legend">
          {lowest < percentOf(map.probability) && <li className="for">{w.mapFor(percentOf(map.probability), lowest)}</li>}
          {highest > percentOf(map.probability) && <li className="against">{w.mapAgainst(percentOf(map.probability), highest)}</li>}
        </ul>
      )}
      <p className="limits">{w.mapLimits}</p>
    </div>
  )
}

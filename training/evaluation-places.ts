import { relative, resolve } from 'node:path'

/** From training/. */
export const BUNDLE = '../models/hand-joints/0.1.0'
const SEED = '1'
const PATIENTS = '300'

interface Asked { readonly seed: string, readonly patients: string, readonly bundle: string }

/**
 * Where an evaluation keeps its pictures and figures, as paths from training/ (`here`). The figures that the documents speak of lie in
 * results/; those of another seed, of more or fewer patients or of another bundle beside their pictures, and nothing is taken for something else.
 */
export function placesOf({ seed, patients, bundle }: Asked, here: string) {
  const runs = seed === SEED && patients === PATIENTS ? 'runs/v2' : `runs/seed-${seed}${patients === PATIENTS ? '' : `-${patients}-patients`}`
  const asked = relative(here, resolve(bundle))
  const shipped = runs === 'runs/v2' && asked === BUNDLE
  return { bundle: asked, runs, results: shipped ? 'results' : `${runs}/results${asked === BUNDLE ? '' : `-${asked.replace(/[^\w.]+/g, '-').replace(/^[-.]+/, '')}`}` }
}

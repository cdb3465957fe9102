import { fileURLToPath } from 'node:url'

/** The bundle that a command reads: the one given, JOINTLENS_MODEL, or the one that comes with JointLens, from any folder. */
export function modelDir(given: string | undefined): string {
  return given ?? process.env['JOINTLENS_MODEL'] ?? fileURLToPath(new URL('../../models/hand-joints/0.1.0', import.meta.url))
}

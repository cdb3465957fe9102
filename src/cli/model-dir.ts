import { BUNDLED_MODEL } from '../config.ts'

/** The bundle that a command reads: the one given, JOINTLENS_MODEL, or the one that comes with JointLens. */
export function modelDir(given: string | undefined): string {
  return given ?? process.env['JOINTLENS_MODEL'] ?? BUNDLED_MODEL
}

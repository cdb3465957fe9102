import { mkdir, readdir } from 'node:fs/promises'
import { ScreeningError } from '../errors.ts'

/** Makes `--out`, for its owner alone, or takes it empty: what is written there is never mixed with something else. Throws ERR_USAGE. */
export async function openEmptyFolder(out: string): Promise<void> {
  await mkdir(out, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new ScreeningError('ERR_USAGE', `Expected --out to be a folder that can be made but received "${out}"`, { cause })
  })
  const there = await readdir(out, { recursive: true })
  if (there.length > 0) throw new ScreeningError('ERR_USAGE', `Expected --out to be a new or empty folder but "${out}" holds ${there.length} files`)
}

import { Presets, SingleBar } from 'cli-progress'

/** A bar on a terminal, JSON lines on stderr elsewhere. `unit` is what is counted, for people. */
export async function withProgress<T>(unit: 'patients' | 'photos', work: (onProgress: (done: number, total: number) => void) => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY)
    return work((done, total) => void process.stderr.write(`${JSON.stringify({ done, total })}\n`))
  const bar = new SingleBar({ format: `{bar} {value}/{total} ${unit}, {eta_formatted} left` }, Presets.shades_grey)
  bar.start(0, 0)
  try {
    return await work((done, total) => {
      bar.setTotal(total)
      bar.update(done)
    })
  } finally {
    bar.stop()
  }
}

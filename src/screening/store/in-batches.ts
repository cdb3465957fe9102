/** A batch holds no more than this; the rest goes in the next. */
const BATCH = 200

/**
 * Gathers single questions to the store into one statement: the first goes at once, whatever comes meanwhile goes together in
 * the next. Nothing waits for company, and no answer is older than its question. `work` answers in the order of its items; a
 * batch that fails fails each of its items.
 */
export function inBatches<Item, Answer>(work: (items: readonly Item[]) => Promise<readonly Answer[]>): (item: Item) => Promise<Answer> {
  const waiting: { readonly item: Item; resolve(answer: Answer): void; reject(error: unknown): void }[] = []
  let working = false

  async function goOn(): Promise<void> {
    working = true
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH)
      try {
        const answers = await work(batch.map(({ item }) => item))
        if (answers.length !== batch.length) throw new Error(`Expected ${batch.length} answers but received ${answers.length}`)
        for (const [index, { resolve }] of batch.entries()) resolve(answers[index] as Answer)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    working = false
  }

  return (item) => new Promise((resolve, reject) => {
    waiting.push({ item, resolve, reject })
    if (!working) void goOn()
  })
}

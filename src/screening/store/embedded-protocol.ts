/** A folder, or in memory, beginning with what lies in a file of PGlite's `dumpDataDir`. */
export type ThreadPlace = { readonly dataDir: string } | { readonly dump: string }

/** What the store asks of its PGlite thread. A transaction is named by the id of the call that began it. */
export type ThreadCall = { readonly id: number } & (
  | { readonly kind: 'query'; readonly sql: string; readonly parameters: readonly unknown[]; readonly transaction?: number }
  | { readonly kind: 'begin' }
  | { readonly kind: 'end'; readonly transaction: number; readonly how: 'commit' | 'rollback' }
  | { readonly kind: 'flush' }
  | { readonly kind: 'close' }
)

/** What a statement gave, and how many rows it inserted, updated or deleted itself. */
export interface Outcome {
  readonly rows: readonly unknown[]
  readonly affected: number
}

/** `failed` is an SQLSTATE, or `no code`. */
export type ThreadAnswer = { readonly id: number } & (Outcome | { readonly failed: string })

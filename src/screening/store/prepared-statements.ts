import { parse, protocol, type PGlite } from '@electric-sql/pglite'
import type { Outcome } from './embedded-protocol.ts'

const { serialize } = protocol
/** Our statements are some 150; what comes beyond is parsed each time. */
const KEPT = 500

interface Statement {
  readonly name: string
  /** Object ids of its parameters' types. */
  readonly types: readonly number[]
}

export interface PreparedStatements {
  /** Its rows are as PGlite's own `query` gives them. One at a time: to be called inside `db.runExclusive`. Throws PGlite's DatabaseError. */
  query(sql: string, parameters: readonly unknown[]): Promise<Outcome>
}

/**
 * Every statement is parsed and planned once (PostgreSQL's extended query protocol, named statements). PGlite's own `query` does that
 * each time, in five calls: 0.45 ms instead of 0.10 for a look-up by index.
 */
export function openPreparedStatements(db: PGlite): PreparedStatements {
  const statements = new Map<string, Statement>()
  let tried = 0

  async function send(...messages: readonly Uint8Array[]) {
    try {
      return (await db.execProtocol(Buffer.concat(messages), { syncToFs: false })).messages
    } finally {
      // Also after an error: until then PostgreSQL passes over everything.
      await db.execProtocol(serialize.sync(), { syncToFs: false })
    }
  }

  async function prepared(sql: string): Promise<Statement> {
    const known = statements.get(sql)
    if (known) return known
    // One that failed may have left its name behind.
    const name = statements.size < KEPT ? `s${++tried}` : ''
    const types = parse.parseDescribeStatementResults(await send(serialize.parse({ name, text: sql }), serialize.describe({ type: 'S', name })))
    const made = { name, types }
    if (name !== '') statements.set(sql, made)
    return made
  }

  function serialised(value: unknown, type: number | undefined): string | null {
    if (value === null || value === undefined) return null
    const serializer = type === undefined ? undefined : db.serializers[type]
    if (serializer) return serializer(value)
    return typeof value === 'string' ? value : JSON.stringify(value)
  }

  return {
    async query(sql, parameters) {
      const { name, types } = await prepared(sql)
      const messages = await send(
        serialize.bind({ statement: name, values: parameters.map((value, at) => serialised(value, types[at])) }), serialize.describe({ type: 'P' }), serialize.execute({}))
      const [{ rows = [], affectedRows: affected = 0 } = {}] = parse.parseResults(messages, db.parsers)
      return { rows, affected }
    }
  }
}

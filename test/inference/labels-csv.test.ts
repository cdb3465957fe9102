import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { readLabels, readLabelsFile } from '../../src/cli/labels-csv.ts'
import { isScreeningError } from '../../src/errors.ts'

type Row = readonly [photo: string, side: string, joint: string, label: number, patient: string]

/** Read by training/tests/test_finetune.py too: one table, one verdict. */
const tables = JSON.parse(await readFile(join(import.meta.dirname, '../fixtures/label-tables.json'), 'utf8')) as {
  readonly read: Record<string, readonly [csv: string, rows: readonly Row[]]>
  readonly refused: Record<string, readonly [csv: string, said: string]>
}

describe('a table of labels', () => {
  test.each(Object.entries(tables.read))('with %s is read', (_, [csv, rows]) => {
    expect(readLabels(csv).map(({ photo, side, joint, swollen, patient }) => [photo, side, joint, Number(swollen), patient])).toEqual(rows)
  })

  test('needs no patient, and says the visit where there is one', () => {
    expect(readLabels('photo,side,joint,label,visit\na.jpg,left,ip1,0,\nb.jpg,left,ip1,1,2')).toEqual([
      { photo: 'a.jpg', side: 'left', joint: 'ip1', swollen: false }, { photo: 'b.jpg', side: 'left', joint: 'ip1', swollen: true, visit: '2' }
    ])
  })

  test.each([...Object.entries(tables.refused), ['no label column', ['photo,side,joint\na,left,mcp2', 'none called label']] as const])('with %s is refused with its line', (_, [csv, said]) => {
    const { code, message } = errorOf(() => readLabels(csv))
    expect(code).toBe('ERR_CALIBRATION_DATA')
    expect(message).toContain(said)
  })

  test.each([['Windows', Buffer.from('photo,side,joint,label\nM\xFCller.jpg,left,mcp2,1\n', 'latin1')], ['UTF-16', Buffer.from('\uFEFFphoto,side,joint,label\n', 'utf16le')]])(
    'in the encoding of %s is refused with what to do', async (_, bytes) => {
      const folder = await mkdtemp(join(tmpdir(), 'labels-'))
      try {
        await writeFile(join(folder, 'labels.csv'), bytes)
        await expect(readLabelsFile(join(folder, 'labels.csv'))).rejects.toMatchObject({ code: 'ERR_CALIBRATION_DATA', message: expect.stringMatching(/save it as CSV UTF-8/) as unknown })
      } finally {
        await rm(folder, { recursive: true })
      }
    })
})

function errorOf(act: () => unknown): { readonly code: string; readonly message: string } {
  try {
    act()
  } catch (error) {
    if (isScreeningError(error)) return error
    throw error
  }
  throw new Error('Expected a refusal')
}

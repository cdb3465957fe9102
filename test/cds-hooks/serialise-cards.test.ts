import { expect, test } from '@jest/globals'
import { cardWith, checkResponse, serialiseCards, type Action, type Card } from '../../src/cds-hooks/protocol.ts'

const action: Action = {
  type: 'create', description: 'Prüfung “left” \\ \n',
  resource: { resourceType: 'Observation', status: 'preliminary', code: { text: 'MCP 2 – 83 %' } }
}
const card = (uuid: string, suggestions?: Card['suggestions']): Card => ({
  uuid, summary: 'Foto vom 21. Nov. – 4 von 22', detail: '| a | b |\n| --- | --- |', indicator: 'info',
  source: { label: 'JointLens', url: 'https://jointlens.example/models/current', topic: { system: 's', code: 'c', display: 'd' } },
  ...(suggestions ? { suggestions, selectionBehavior: 'at-most-one' as const } : {}),
  links: [{ label: 'Open', url: 'https://jointlens.example/smart/launch', type: 'smart', appContext: 'newest' }]
})

const textOf = (cards: readonly Card[]) => Buffer.concat(serialiseCards(cards)).toString()

test.each([
  ['no card', []],
  ['a card without a suggestion', [card('a')]],
  ['a card with an empty list of suggestions', [card('a', [])]],
  ['several cards, some with several suggestions', [card('a', [{ label: 'One', uuid: 'b', actions: [action, action] }, { label: 'Zwei', uuid: 'c', actions: [] }]), card('d')]]
] as const)('the body of an answer is the JSON of its cards: %s', (_name, cards) => {
  const kept = cards.map((one) => 'suggestions' in one && one.suggestions.length === 0 ? (({ suggestions: _none, ...rest }) => rest)(one) : one)
  expect(JSON.parse(textOf(cards))).toEqual({ cards: JSON.parse(JSON.stringify(kept)) as unknown })
})

test('actions that are sent again are the same text, and others are not mistaken for them', () => {
  const actions = [action]
  const first = textOf([card('a', [{ label: 'One', uuid: 'b', actions }])])
  const second = textOf([card('c', [{ label: 'One', uuid: 'd', actions }])])
  const other = textOf([card('c', [{ label: 'One', uuid: 'd', actions: [{ ...action, description: 'another' }] }])])
  expect(second).toBe(first.replace('"a"', '"c"').replace('"b"', '"d"'))
  expect(other).toContain('"another"')
})

test('a card that is shown again is the same text with its own ids, and its faults are found each time', () => {
  const { uuid: _uuid, ...body } = card('x')
  const shown = (uuid: string, id: string) => cardWith(body, uuid, { label: 'One', uuid: id, actions: [action] })
  for (const one of [shown('a', 'b'), shown('c', 'd')]) {
    expect(checkResponse({ cards: [one] })).toEqual([])
    expect(JSON.parse(textOf([one]))).toEqual({ cards: [JSON.parse(JSON.stringify(one)) as unknown] })
  }
  expect(checkResponse({ cards: [shown('e', 'e')] })).toEqual(['cards.0.uuid'])
  const faulty = { ...body, summary: 'x'.repeat(140), links: [] }
  for (const uuid of ['f', 'g']) expect(checkResponse({ cards: [cardWith(faulty, uuid)] })).toEqual(['cards.0.links', 'cards.0.summary'])
})

/** Escaping for GitHub Flavored Markdown, safe also where a client renders raw HTML (conformance row 10). */

/**
 * Text as text: nothing in it becomes a tag, a link, a table cell or a line of its own. Letters of every alphabet stay.
 * Characters with a meaning become entities, which Markdown and HTML both show as the character itself.
 */
export function escaped(text: string): string {
  return text
    .replace(/[\s\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ')
    .trim()
    .replace(/[&<>"'`|[\](){}*_~\\#!@$^=+]|:(?=\/\/)|(?<=javascript|data|vbscript|www):?(?=[:.])/gi, (found) => [...found].map(entity).join(''))
}

function entity(character: string): string {
  return `&#${character.codePointAt(0)};`
}

/** A table whose cells are already escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** A list whose items are already escaped. */
export function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join('\n')
}

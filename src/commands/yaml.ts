import { isScalar, parseDocument, stringify } from "yaml";

/** A document as YAML. */
export const yamlOf = (document: unknown): string => stringify(document, { lineWidth: 0 });

/** One of several documents: a line of JSON, or YAML that begins with its mark. */
export const documentOf = (format: "json" | "yaml", document: unknown): string =>
  format === "json" ? `${JSON.stringify(document)}\n` : `---\n${yamlOf(document)}`;

/** A file's text with another value of a key of its own; comments and everything else stay as they are written. */
export function replaceKey(text: string, key: string, value: string): string {
  const written = stringify(value).trimEnd();
  const node = parseDocument(text).get(key, true);
  if (!isScalar(node) || !node.range) return `${key}: ${written}\n${text}`;
  const [start, end] = node.range;
  // `key:` with nothing behind it ends before the space that a value needs.
  return `${text.slice(0, start)}${start === end && text[start - 1] === ":" ? " " : ""}${written}${text.slice(end)}`;
}

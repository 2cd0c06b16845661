/** So many characters of another program's sentence are told at most. */
const LONGEST = 400;

/**
 * A sentence of the cluster's, as it can be told: without the values that it quotes, which can be whole objects, without addresses,
 * which can hold credentials, on one line, and not endless.
 */
export function told(sentence: string | undefined): string {
  const plain = (sentence ?? "")
    .replace(/\b(Invalid|Unsupported|Duplicate) value: (?:"(?:[^"\\]|\\.)*"|[\s\S]*)/g, "$1 value")
    .replace(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"']+/gi, "(address)")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would act on
    .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, " ")
    .trim()
    .toWellFormed();
  return plain.length <= LONGEST ? plain : `${plain.slice(0, LONGEST)}...`;
}

/** Sentences in a row. Those that are empty are left out. */
export const inARow = (...sentences: readonly (string | undefined)[]): string =>
  sentences.filter((sentence) => sentence !== undefined && sentence !== "").join("; ");

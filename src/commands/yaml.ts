import { stringify } from "yaml";

/** A document as YAML. */
export const yamlOf = (document: unknown): string => stringify(document, { lineWidth: 0 });

/** One of several documents: a line of JSON, or YAML that begins with its mark. */
export const documentOf = (format: "json" | "yaml", document: unknown): string =>
  format === "json" ? `${JSON.stringify(document)}\n` : `---\n${yamlOf(document)}`;

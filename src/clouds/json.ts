/** The fields of a JSON object; undefined of anything else. */
export const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;

/** A text; undefined of anything else. */
export const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** A whole number that JSON carries exactly, be it written as one or as a text of digits; undefined of anything else. */
export const integerOf = (value: unknown): number | undefined => {
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
};

/** A list, which is empty where there is none (null); undefined of anything else. */
export const listOf = (value: unknown): readonly unknown[] | undefined =>
  value === null ? [] : Array.isArray(value) ? value : undefined;

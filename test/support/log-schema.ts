import schema from "../../docs/operations/log.schema.json" with { type: "json" };

/** What is used of JSON Schema. */
interface Schema {
  readonly $ref?: string;
  readonly enum?: readonly unknown[];
  readonly type?: string | readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** What is wrong with a line of the log, by docs/operations/log.schema.json; undefined when nothing is. */
export const wrongLine = (line: unknown): string | undefined => wrongBy(line, schema as Schema, "line");

function wrongBy(value: unknown, by: Schema, at: string): string | undefined {
  if (by.$ref !== undefined) return wrongBy(value, schema.$defs.cause as Schema, at);
  const says = `${at}: ${JSON.stringify(value)?.slice(0, 200)}`;
  if (by.enum !== undefined && !by.enum.includes(value)) return `${says} is not one of those that the schema has`;
  if (by.type !== undefined && ![by.type].flat().some((type) => isOf(value, type))) return `${says} is no ${by.type}`;
  if (by.pattern !== undefined && !new RegExp(by.pattern).test(String(value))) return `${says} is not ${by.pattern}`;
  if (by.minimum !== undefined && !(Number(value) >= by.minimum)) return `${says} is below ${by.minimum}`;
  if (Array.isArray(value)) {
    return value.map((item) => wrongBy(item, by.items ?? {}, `${at}[]`)).find((wrong) => wrong !== undefined);
  }
  if (by.properties === undefined || typeof value !== "object" || value === null) return undefined;
  const missing = by.required?.find((name) => !(name in value));
  if (missing !== undefined) return `${says} has no ${missing}`;
  for (const [name, field] of Object.entries(value)) {
    const known = Object.hasOwn(by.properties, name) ? by.properties[name] : undefined;
    if (known === undefined) return `${says}: the schema has no ${name}`;
    const wrong = wrongBy(field, known, `${at}.${name}`);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function isOf(value: unknown, type: string): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}

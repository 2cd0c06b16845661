import type { DescField } from "@bufbuild/protobuf";

const LONGEST_SHOWN = 100;

/**
 * A value of the configuration as a message shows it: text in quotes and never too long, without the user and password of an
 * address, and not at all when its field has the option debug_redact.
 */
export function showValue(field: DescField, value: string | number | boolean): string {
  if (field.proto.options?.debugRedact === true) return "not shown";
  return typeof value === "string" ? quote(value) : String(value);
}

/** A text in quotes, cut where it is too long, and without the user and password of an address. */
export function quote(text: string): string {
  const safe = text.replaceAll(/(\/\/)[^/?#\s]*@/g, "$1***@");
  return JSON.stringify(safe.length > LONGEST_SHOWN ? `${safe.slice(0, LONGEST_SHOWN)}…` : safe);
}

import { type FieldPath, formatPath } from "./problem.ts";
import type { SectionReader } from "./section-reader.ts";
import { quote } from "./show-value.ts";

/**
 * Refuses a second entry of a section with the same key.
 *
 * @param field the field that is the key, such as `name`.
 * @returns to be called with the key of each entry and the entry's path, in order. An empty key is none: the schema reports it.
 */
export function uniqueKeys(field: string, reader: SectionReader): (key: string, path: FieldPath) => void {
  const paths = new Map<string, FieldPath>();
  return (key, path) => {
    const before = paths.get(key);
    if (before === undefined) {
      if (key !== "") paths.set(key, path);
      return;
    }
    const where = reader.whereIs([...before, field]);
    const other = where === "" ? formatPath(before) : `${formatPath(before)} (${where})`;
    reader.problem([...path, field], `must be unique, but is ${quote(key)}, the ${field} of ${other}`);
  };
}

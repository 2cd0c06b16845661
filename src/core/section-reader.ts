import type { FieldPath, Problem } from "./problem.ts";

/**
 * What judges a section of the configuration beyond its schema: whether files are there and say what is expected. It makes the
 * section's settings; where it has reported a problem, they are not used.
 */
export interface SectionReader {
  /** Makes a path of the configuration absolute: a relative one is relative to the configuration file. */
  resolve(path: string): string;
  /** Reports a mistake in a field. Of several about one field, the first is kept: an unusable value may look wrong in many ways. */
  problem(field: FieldPath, message: string): void;
  /** Reports what deserves a line in the log. */
  warning(field: FieldPath, message: string): void;
  /** Reports a mistake in a file that the configuration names. The same one is kept once, however many sections run into it. */
  problemElsewhere(problem: Problem): void;
  /** As {@link problemElsewhere}, for what deserves a line in the log. */
  warningElsewhere(problem: Problem): void;
  /** Where a field stands, such as `line 4`; empty when no file says it. */
  whereIs(field: FieldPath): string;
}

/** Makes of the sections, which agree with their schema, what the server works with: one function for all targets. */
export type ReadSections<Sections, Settings> = (sections: Sections, reader: SectionReader) => Settings;

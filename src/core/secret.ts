import { readFileSync, statSync } from "node:fs";
import type { Secret } from "../../gen/restart/config/v1/secret_pb.ts";
import { type FieldPath, formatPath, readFailure } from "./problem.ts";
import type { SectionReader } from "./section-reader.ts";
import { quote } from "./show-value.ts";

/**
 * Gives a secret as it is now: a file is read anew every time, so that a new secret needs no new start.
 *
 * @throws Error when there is none any longer. It says where the secret should be, never what was there; its cause is the system's
 *   error, where reading failed.
 */
export type GiveSecret = () => string;

/**
 * Finds a secret, and judges that it is there.
 *
 * @param path where the configuration speaks of it.
 * @param environment the process's variables.
 * @returns undefined where it is not there: the reader has been told why.
 */
export function readSecret(
  { source }: Secret,
  path: FieldPath,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): GiveSecret | undefined {
  switch (source.case) {
    case "file": {
      const file = reader.resolve(source.value);
      const field = [...path, "file"];
      const give = (): string => {
        const found = contentOf(file);
        if ("wrong" in found) {
          throw new Error(`${formatPath(field)}: ${quote(file)} ${found.wrong}`, { cause: found.error });
        }
        return found.secret;
      };
      const found = contentOf(file);
      if ("secret" in found) return give;
      reader.problem(field, `must be a file with the secret in it, but ${quote(source.value)} ${found.wrong}`);
      return undefined;
    }
    case "env": {
      const secret = environment[source.value] ?? "";
      if (secret.trim() !== "") return () => secret;
      const state = environment[source.value] === undefined ? "not set" : "empty";
      reader.problem(
        [...path, "env"],
        `must be an environment variable with the secret in it, but ${source.value} is ${state}; set it before the start`,
      );
      return undefined;
    }
    default:
      return undefined; // the schema wants a source, and has reported this
  }
}

/** The secret in a file, or what is wrong with the file, never with its content in it. */
function contentOf(file: string): { readonly secret: string } | { readonly wrong: string; readonly error?: unknown } {
  let content: Buffer;
  try {
    // Reading a pipe or a device might never end.
    if (!statSync(file).isFile()) return { wrong: "is no regular file" };
    content = readFileSync(file);
  } catch (error) {
    return { wrong: `cannot be read: ${readFailure(error)}`, error };
  }
  const secret = content.toString().trimEnd();
  return secret === "" ? { wrong: "is empty" } : { secret };
}

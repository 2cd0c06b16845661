import type { GiveSecret } from "../../core/secret.ts";
import { fieldsOf, textOf } from "../json.ts";

/** An access key as it is now: parts that belong together. */
export interface WholeKey {
  /** AK. */
  readonly accessKey: string;
  /** SK. */
  readonly secretKey: string;
  /** Only of temporary credentials. */
  readonly securityToken: string | undefined;
}

/**
 * Reads a key out of a JSON file, in the words in which Huawei Cloud gives temporary ones: `access`, `secret` and `securitytoken`, by
 * themselves or, as its answers have them, within `credential`.
 *
 * @param give the file's text.
 * @throws Error that says what is missing, never what is there; or what `give` throws.
 */
export function readKeyFile(give: GiveSecret): WholeKey {
  const fields = fieldsOf(parse(give()));
  if (fields === undefined) throw new Error("is no JSON object");
  const { access, secret, securitytoken } = fieldsOf(fields.credential) ?? fields;
  const [accessKey, secretKey] = [textOf(access), textOf(secret)];
  if (!accessKey || !secretKey) {
    throw new Error(`has no text ${accessKey ? "secret" : "access"} in it`);
  }
  if (securitytoken !== undefined && securitytoken !== null && typeof securitytoken !== "string") {
    throw new Error("has a securitytoken that is no text");
  }
  return { accessKey, secretKey, securityToken: securitytoken || undefined };
}

/** A parser's error would quote the file. Windows tools put a byte order mark before a text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ""));
  } catch {
    return undefined; // the caller says what the file is not
  }
}

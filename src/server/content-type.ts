/** The content type of a request, read once: whoever asks later gets the same answer. */
export interface ContentType {
  /** In lower case, without parameters; empty when the request has none. */
  readonly type: string;
  /** Whether it says that its text is in something else than UTF-8. */
  readonly foreign: boolean;
  /** As the request says it. */
  readonly raw: string;
}

/** Reads the header. Parameters other than `charset` say nothing to us (RFC 9110, 8.3). */
export function readContentType(raw = ""): ContentType {
  const [essence = "", ...parameters] = raw.split(";").map((part) => part.trim().toLowerCase());
  const charset = parameters.map((one) => /^charset="?([^"]*)"?$/.exec(one)?.[1]).find((found) => found !== undefined);
  return { type: essence, foreign: charset !== undefined && !/^utf-?8$/.test(charset), raw };
}

/** Whether messages of this type are JSON. */
export const isJson = ({ type }: ContentType): boolean => /[/+]json$/.test(type);

/**
 * Our own credentials of a cluster cannot be read. Its message tells an operator what is wrong, names files, and repeats what an exec
 * plugin said on stderr: it is for the log. It never holds a credential, and it has no cause, because causes quote what they could
 * not parse.
 */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
  /** Of a system error: what this machine is short of is no fault of the credentials. */
  readonly code: string | undefined;
  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

/** What is told of an error that somebody else's code threw: its code and its file, but not its words. */
export function asCredentialsError(error: unknown): CredentialsError {
  if (error instanceof CredentialsError) {
    return error;
  }
  const { name, code, syscall, path } = error as Partial<NodeJS.ErrnoException>;
  return new CredentialsError([code ?? name ?? "unknown error", syscall, path].filter(Boolean).join(" "), code);
}

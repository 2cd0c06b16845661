import { abandonedUnsent } from "../abandoned.ts";
import type { Answer } from "../http.ts";
import { failureOf } from "./errors.ts";
import type { HuaweiRequest, Project } from "./project.ts";
import type { RequestSubject } from "./rules.ts";

/**
 * Sends a request, at most once, and gives whatever it is answered with.
 *
 * @throws Failure when there is no answer: its outcome says whether anything can have been changed.
 */
export const ask = (project: Project, request: HuaweiRequest, subject: RequestSubject): Promise<Answer> =>
  project.request(request).catch((error: unknown) => {
    throw abandonedUnsent(error, request.signal, subject.changes) ?? failureOf(error, subject);
  });

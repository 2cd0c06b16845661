import { useId, useState } from "preact/hooks";
import { Auth_Kind } from "../../../gen/restart/server/v1/server_service_pb.ts";
import { type Problem, problemOf } from "../api/problem.ts";
import { forgetToken, setToken } from "../api/session.ts";
import { Page } from "../parts/page.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { navigate, ROOT, usePlace } from "../router.ts";
import { askServer, useServer } from "../server.ts";
import { W } from "../words.ts";

/** Takes a token for this tab, and leads back to where it was asked for. */
export function LoginPage() {
  const id = useId();
  const { query } = usePlace();
  const server = useServer();
  const [token, setText] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const back = query.get("return") ?? "";
  const logIn = async (): Promise<void> => {
    if (token.trim() === "" || busy) return;
    setBusy(true);
    setToken(token.trim());
    try {
      await askServer(AbortSignal.timeout(30_000)); // says whether the token holds
      navigate(isOurs(back) ? back : ROOT);
    } catch (error) {
      forgetToken();
      setProblem(problemOf(error));
      setBusy(false);
    }
  };
  const issuers = server?.auth?.issuers ?? [];
  return (
    <Page title={W.logIn}>
      <p class="quiet">{server?.auth?.kind === Auth_Kind.NONE ? W.loginNone : W.loginWhy}</p>
      {issuers.length > 0 && (
        <p class="quiet">
          {W.loginIssuers} {issuers.map(({ issuer }) => issuer).join(", ")}.
        </p>
      )}
      <form
        class="login"
        onSubmit={(event) => {
          event.preventDefault();
          logIn().catch(reportError);
        }}
      >
        <div class="field">
          <label for={id}>{W.token}</label>
          <input
            id={id}
            class="secret"
            type="text"
            autocomplete="off"
            spellcheck={false}
            value={token}
            onInput={({ currentTarget }) => setText(currentTarget.value)}
          />
        </div>
        <button type="submit" class="primary" aria-disabled={token.trim() === "" || busy}>
          {W.logIn}
        </button>
      </form>
      {problem && <ProblemBox problem={problem} alert />}
    </Page>
  );
}

/** Whether an address is a page of the console, and not of somebody who wants to be taken for it. */
const isOurs = (path: string): boolean =>
  path.startsWith(ROOT) && new URL(path, location.origin).pathname.startsWith(ROOT) && !path.startsWith(`${ROOT}login`);

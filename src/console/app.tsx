import { away } from "./api/away.ts";
import { usePoll } from "./api/poll.ts";
import { forgetToken, loggedIn } from "./api/session.ts";
import { loginUrl } from "./api/transport.ts";
import { VERSION } from "./browser.ts";
import { pageOf } from "./pages/index.tsx";
import { PendingNotice } from "./pages/pending.tsx";
import { Stale } from "./parts/known.tsx";
import { Shortcuts } from "./parts/shortcuts.tsx";
import { navigate, ROOT, usePlace, useScroll } from "./router.ts";
import { askServer, useServer } from "./server.ts";
import { useStore } from "./store.ts";
import { type Choice, chooseTheme, theme } from "./theme.ts";
import { W } from "./words.ts";

/** How often (ms) the server is asked whether it is still the one that this page was made for. */
const SERVER_EVERY_MS = 30_000;

/** The whole console. */
export function App() {
  const place = usePlace();
  useScroll(place);
  const token = useStore(loggedIn);
  usePoll(`server ${token}`, { ask: askServer, everyMs: SERVER_EVERY_MS });
  return (
    <>
      <a class="skip" href="#main">
        {W.skip}
      </a>
      <Banner first={place.segments[0] ?? ""} />
      <main id="main" tabIndex={-1}>
        <Notices />
        {pageOf(place)}
      </main>
      <Shortcuts />
    </>
  );
}

function Banner({ first }: { readonly first: string }) {
  const server = useServer();
  const isOperations = first === "operations";
  const isTargets = first === "" || /^(clusters|sites|projects)$/.test(first);
  return (
    <header>
      <div class="brand">
        <img src={`${ROOT}${ICON()}`} alt="" width={22} height={22} />
        <span>{W.product}</span>
      </div>
      <nav aria-label={W.main}>
        <a href={ROOT} aria-current={isTargets ? "page" : undefined}>
          {W.targets}
        </a>
        <a href={`${ROOT}operations`} aria-current={isOperations ? "page" : undefined}>
          {W.operations}
        </a>
      </nav>
      {server?.sandbox && (
        <p role="note" data-testid="sandbox" class="sandbox">
          {W.sandbox}
        </p>
      )}
      <div class="header-end">
        <Session />
        <ThemeChoice />
      </div>
    </header>
  );
}

/** The icon that the document names. */
const ICON = (): string =>
  (document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.getAttribute("href") ?? "").replace(ROOT, "");

function Session() {
  const server = useServer();
  const has = useStore(loggedIn);
  if (!has) return null;
  const logOut = (): void => {
    forgetToken();
    navigate(loginUrl());
  };
  return (
    <>
      <span class="quiet principal">{server?.principal}</span>
      <button type="button" class="small" onClick={logOut}>
        {W.logOut}
      </button>
    </>
  );
}

function ThemeChoice() {
  const chosen = useStore(theme);
  return (
    <label class="theme">
      <span>{W.theme}</span>
      <select value={chosen} onChange={({ currentTarget }) => chooseTheme(currentTarget.value as Choice)}>
        {Object.entries(W.themes).map(([value, word]) => (
          <option key={value} value={value} selected={value === chosen}>
            {word}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What concerns every page. */
function Notices() {
  const server = useServer();
  const missing = useStore(away);
  return (
    <>
      {missing !== undefined && (
        <Stale sentence={W.noAnswer} at={missing.knownAt} retryAt={missing.retryAt} retry={missing.retry} />
      )}
      {server !== undefined && server.version !== "" && server.version !== VERSION && (
        <div class="banner-note" data-testid="newer">
          <span>{W.newer}</span>
          <button type="button" class="small" onClick={() => location.reload()}>
            {W.reload}
          </button>
        </div>
      )}
      <PendingNotice />
    </>
  );
}

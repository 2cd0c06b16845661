import { render } from "preact";
import { loginUrl, setUnauthenticated } from "./api/transport.ts";
import { App } from "./app.tsx";
import { escapeTexts } from "./parts/escape.ts";
import { navigate, ROOT, startRouter } from "./router.ts";
import { startTheme } from "./theme.ts";

startTheme();
escapeTexts();
startRouter();
setUnauthenticated(() => {
  if (!location.pathname.startsWith(`${ROOT}login`)) queueMicrotask(() => navigate(loginUrl()));
});
render(<App />, document.body);

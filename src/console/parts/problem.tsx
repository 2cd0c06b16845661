import { useId, useState } from "preact/hooks";
import { ADVICE } from "../../../gen/advice.ts";
import { NO_ANSWER, type Problem } from "../api/problem.ts";
import { loginUrl } from "../api/transport.ts";
import { now } from "../browser.ts";
import { urlOf } from "../router.ts";
import { useServer } from "../server.ts";
import { HEADINGS, OUTCOMES, W } from "../words.ts";
import { Copy } from "./copy.tsx";
import { useClock } from "./time.tsx";

/** What {@link ProblemBox} is given. */
export interface ProblemProps {
  readonly problem: Problem;
  /** Whether it comes of what the visitor did just now: it is said aloud then. */
  readonly alert?: boolean;
  readonly onRetry?: (() => void) | undefined;
  /** What the button says that tries again. */
  readonly retryLabel?: string;
  /** Whether what is wrong, and what to do, stands below it in a form. */
  readonly brief?: boolean;
}

/** What went wrong, whether anything was changed, and what to do. */
export function ProblemBox({ problem, alert, onRetry, retryLabel, brief }: ProblemProps) {
  const heading = useId();
  const server = useServer();
  const { reason, message, outcome, violations, resources, links } = problem;
  const advice = brief ? undefined : reason === NO_ANSWER ? W.noAnswerRead : ADVICE[reason];
  const ours = resources.filter((name) => /^(clusters|sites|projects|operations)\//.test(name));
  return (
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: its role, alert or group, takes a name
    <div
      class={`problem ${outcome ?? "none"}`}
      role={alert ? "alert" : "group"}
      aria-labelledby={heading}
      data-testid="problem"
      data-reason={reason}
      data-outcome={outcome}
    >
      <p class="problem-head" id={heading}>
        {HEADINGS[reason] ?? reason}
      </p>
      {!brief && <p>{reason === NO_ANSWER ? W.noAnswerWhat : message}</p>}
      {outcome !== undefined && (
        <p>
          <strong>{W.outcome}:</strong> {OUTCOMES[outcome]}
        </p>
      )}
      {!brief && violations.length > 0 && (
        <ul>
          {violations.map(({ subject, description }) => (
            <li key={`${subject} ${description}`}>
              {subject && <code>{subject}</code>}
              {subject && ": "}
              {description}
            </li>
          ))}
        </ul>
      )}
      {ours.map((name) => (
        <p key={name}>
          <a href={urlOf(name)}>{name}</a>
        </p>
      ))}
      {advice && (
        <p>
          <strong>{W.whatToDo}:</strong> {advice}
        </p>
      )}
      {reason === "PERMISSION_DENIED" && server?.contact && (
        <p>
          <strong>{W.whoToAsk}:</strong> {server.contact}
        </p>
      )}
      {links
        .filter(({ url }) => url.startsWith("https:"))
        .map(({ url, description }) => (
          <p key={url}>
            <a href={url} rel="noreferrer" target="_blank">
              {description || url}
            </a>
          </p>
        ))}
      <div class="row">
        {reason === "UNAUTHENTICATED" && <a href={loginUrl()}>{W.logIn}</a>}
        {onRetry && <Retry problem={problem} onRetry={onRetry} label={retryLabel ?? W.tryAgain} />}
      </div>
      <Details problem={problem} />
    </div>
  );
}

/** Tries again; says when, where the server said so. */
function Retry({ problem, onRetry, label }: { problem: Problem; onRetry: () => void; label: string }) {
  const at = useClock();
  const [since] = useState(now);
  const left = Math.ceil((since + (problem.retryMs ?? 0) - at) / 1000);
  return (
    <button type="button" onClick={onRetry}>
      {left > 0 && label === W.tryAgain ? W.tryAgainIn(left) : label}
    </button>
  );
}

function Details({ problem }: { readonly problem: Problem }) {
  const { code, reason, metadata, requestId } = problem;
  const lines = [
    `code: ${code}`,
    `reason: ${reason}`,
    `message: ${problem.message}`,
    ...Object.entries(metadata).map(([name, value]) => `${name}: ${value}`),
    ...(requestId === "" ? [] : [`request id: ${requestId}`]),
  ];
  return (
    <details>
      <summary>{W.details}</summary>
      <ul class="plain">
        {lines.map((line) => (
          <li key={line}>
            <code>{line}</code>
          </li>
        ))}
      </ul>
      <Copy text={lines.join("\n")} of={W.details} />
    </details>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import { now } from "../browser.ts";
import { W } from "../words.ts";

/** So often (ms) at most a screen reader is told of progress. */
const EVERY_MS = 5000;

/** What {@link Announce} is given. */
export interface AnnounceProps {
  readonly text: string;
  /** Whether it is the end, which is told at once. */
  readonly last: boolean;
}

/** Tells those who listen what the others see, but not each step of it. */
export function Announce({ text, last }: AnnounceProps) {
  const [announced, setAnnounced] = useState(text);
  const announcedAt = useRef(now());
  useEffect(() => {
    if (text === announced) return;
    const announce = (): void => {
      announcedAt.current = now();
      setAnnounced(text);
    };
    const wait = last ? 0 : Math.max(0, announcedAt.current + EVERY_MS - now());
    const timer = setTimeout(announce, wait);
    return () => clearTimeout(timer);
  }, [text, announced, last]);
  return (
    <p role="status" aria-live="polite" class="sr">
      {announced}
    </p>
  );
}

/** Said while a stream is away for longer than a moment. */
export const Reconnecting = () => (
  <p class="banner-note" data-testid="reconnecting">
    {W.reconnecting}
  </p>
);

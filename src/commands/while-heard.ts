/** A stream that was silent for so long (ms) is asked for anew, which shows how it stands: its connection may have died without a word. */
const SILENT_MS = 60_000;

/**
 * The messages of a stream, which is opened anew whenever it was silent for a minute: what it says first is said again then. Over HTTP/1.1
 * nothing else tells that a connection has died.
 *
 * @param open opens it. Its signal ends it.
 * @param signal ends all of it.
 */
export async function* whileHeard<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  for (;;) {
    using silence = createSilence();
    try {
      for await (const message of open(AbortSignal.any([signal, silence.signal]))) {
        silence.broken();
        yield message;
      }
      return;
    } catch (error) {
      if (signal.aborted || !silence.signal.aborted) throw error;
    }
  }
}

function createSilence() {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), SILENT_MS);
  return {
    /** Fires once nothing was heard for {@link SILENT_MS}. */
    signal: controller.signal,
    broken: () => void timer.refresh(),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

const known = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `listener` once `signal` fires, for signals that very many listen to, as every call does to the server's shutdown: an AbortSignal
 * looks through all its listeners each time that one comes or goes, which for 10,000 streams takes longer than everything else.
 *
 * One that has fired already calls nobody, as with `addEventListener`.
 *
 * @param listener another function each time. Does not throw.
 * @returns ends it.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const listeners = known.get(signal) ?? listenTo(signal);
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function listenTo(signal: AbortSignal): Set<() => void> {
  const listeners = new Set<() => void>();
  known.set(signal, listeners);
  signal.addEventListener(
    "abort",
    () => {
      for (const listener of listeners) listener();
      listeners.clear();
    },
    { once: true },
  );
  return listeners;
}

/**
 * What `open` opens, once somebody reads it. Unlike a generator that delegates, it keeps nothing of what was needed to open it: a stream
 * may last for days, and ten thousand of them at a time.
 */
export function opened<T>(open: () => Promise<AsyncIterable<T>>): AsyncIterableIterator<T> {
  let unread: (() => Promise<AsyncIterable<T>>) | undefined = open;
  let opening: Promise<void> | undefined;
  let iterator: AsyncIterator<T> | undefined;
  const begin = async (toOpen: () => Promise<AsyncIterable<T>>): Promise<IteratorResult<T>> => {
    unread = undefined;
    opening = toOpen().then((stream) => {
      iterator = stream[Symbol.asyncIterator]();
    });
    await opening;
    opening = undefined;
    return iterator?.next() ?? over;
  };
  const over: IteratorResult<T> = { done: true, value: undefined };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => (unread === undefined ? (iterator?.next() ?? Promise.resolve(over)) : begin(unread)),
    async return() {
      unread = undefined;
      await opening?.catch(() => {}); // whoever reads it is told
      await iterator?.return?.();
      iterator = undefined;
      return over;
    },
  };
}

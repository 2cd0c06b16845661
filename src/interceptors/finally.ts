/** The same messages, and `end` after the last of them, however the stream ends. */
export async function* finallyDo<T>(messages: AsyncIterable<T>, end: () => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } finally {
    end();
  }
}

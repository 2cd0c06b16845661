/**
 * Does what it is given in order, no more than so much in one turn of the event loop: what wakes thousands would otherwise keep everybody
 * else waiting until the last of them has had its part. What is little is done at once.
 *
 * @param perTurn how much is done in a turn.
 * @returns takes something to do. It does not throw.
 */
export function createTurns(perTurn: number): (work: () => void) => void {
  let waiting: (() => void)[] = [];
  let left = perTurn;
  let scheduled = false;
  const schedule = (): void => {
    if (!scheduled) setImmediate(turn);
    scheduled = true;
  };
  const turn = (): void => {
    scheduled = false;
    left = perTurn;
    const now = waiting.slice(0, perTurn);
    waiting = waiting.slice(perTurn);
    left -= now.length;
    if (now.length > 0) schedule();
    for (const work of now) work();
  };
  return (work) => {
    schedule();
    if (left > 0 && waiting.length === 0) {
      left--;
      work();
    } else {
      waiting.push(work);
    }
  };
}

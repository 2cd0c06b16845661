/** Who calls, as long as nobody is asked. */
export const ANONYMOUS = "anonymous";

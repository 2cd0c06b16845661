/**
 * Whether a text can be sent in a header as it is, as a token or a name: printable ASCII, with no blank at an end that a server would
 * cut off.
 */
export const isHeaderValue = (text: string): boolean => /^[!-~]([ -~]*[!-~])?$/.test(text);

/**
 * Whether a host name is this machine by definition: `localhost`, 127.0.0.0/8 or ::1 (in brackets or not). No name is looked up.
 */
export function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
}

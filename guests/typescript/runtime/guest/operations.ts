/** Numbers that the guest and the runtime share. */

/** Operations by number: guests/typescript/operations.c. */
export const OPERATION = {
  decode: 0,
  end: 1,
  print: 2,
  clock: 3,
  random: 4,
  commandLine: 5,
  memory: 6,
  networkOpen: 7,
  takeEvent: 8,
  listen: 9,
  connect: 10,
  write: 11,
  read: 12,
  shutdown: 13,
  close: 14,
  names: 15,
  datagrams: 16,
  send: 17,
  receive: 18,
  /** engine.c's own: gives the reason of a rejected promise that nobody handles; the result is 0 when there is none. */
  takeRejection: 19,
  diskOpen: 20,
  diskRead: 21,
  diskWrite: 22,
  diskFlush: 23,
  lookup: 24,
  lookupResult: 25,
} as const;

/** sched.h. */
export const SHUTDOWN_POWEROFF = 0;
export const SHUTDOWN_CRASH = 3;

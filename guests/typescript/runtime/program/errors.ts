/** Errors as Node has them: with a code. */

export interface CodedError extends Error {
  code: string;
  syscall?: string;
  path?: string;
  address?: string;
  port?: number;
}

export function codedError(code: string, message: string, more: Partial<CodedError> = {}): CodedError {
  return Object.assign(new Error(`${code}: ${message}`), { code, ...more });
}

/** lwIP's err_t, negated: lwip/err.h. */
const NETWORK: Record<number, [string, string]> = {
  1: ["ENOBUFS", "no memory for it"],
  3: ["ETIMEDOUT", "it took too long"],
  4: ["EHOSTUNREACH", "there is no route to this address"],
  8: ["EADDRINUSE", "the address is in use"],
  11: ["ENOTCONN", "it is not connected"],
  13: ["ECONNABORTED", "the connection was given up"],
  14: ["ECONNRESET", "the other side reset the connection"],
  15: ["ECONNRESET", "the connection is closed"],
};

export function networkError(number: number, doing: string, address = "", port = 0): CodedError {
  const [code, text] = NETWORK[Math.abs(number)] ?? ["EIO", `error ${number} of lwIP`];
  const where = address === "" ? "" : ` ${address}:${port}`;
  return codedError(code, `${text}, ${doing}${where}`, {
    syscall: doing,
    ...(address === "" ? {} : { address, port }),
  });
}

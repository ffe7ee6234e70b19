/** Who may ask: Host names against DNS rebinding, origins for browsers. geth's rules. */
import { isIP } from "node:net";

/**
 * True if a request with this Host header may be answered. An address is always good: a page that was rebound to this server
 * comes with a name. Names must be listed; "*" lists all.
 */
export function isHostAllowed(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined || header === "") return true;
  const host = hostName(header);
  return isIP(host) !== 0 || names.includes("*") || names.some((name) => hostName(name) === host);
}

/** The name without port and brackets. */
function hostName(header: string): string {
  const bracketed = /^\[([^\]]*)\](:\d*)?$/.exec(header);
  if (bracketed !== null) return (bracketed[1] ?? "").toLowerCase();
  if (isIP(header) === 6) return header;
  return header.replace(/:\d*$/, "").toLowerCase();
}

/** What a browser must read in the response so that a page of `origin` may see it; {} if it may not. */
export function corsHeaders(origin: string | undefined, origins: readonly string[]): Record<string, string> {
  if (origins.length === 0) return {};
  if (origins.includes("*")) return { "access-control-allow-origin": "*" };
  const vary = { vary: "Origin" }; // A cache must not give one origin's answer to another.
  return origin !== undefined && origins.includes(origin) ? { "access-control-allow-origin": origin, ...vary } : vary;
}

const PREFLIGHT_SECONDS = 600;

/** The answer to a preflight: what a page may send here. */
export function preflightHeaders(requestedHeaders: string | undefined): Record<string, string> {
  return {
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": requestedHeaders ?? "content-type",
    "access-control-max-age": String(PREFLIGHT_SECONDS),
  };
}

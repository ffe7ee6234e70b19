import { isIoError } from "@meridian/core";
import type { IoError, WireMessage } from "@meridian/core";

/**
 * A handler that a bad message cannot hurt: an IoError (something that could not be decoded) is told and the message dropped.
 * Anything else is a bug, and ends the process as bugs do, not the connection that the message came on.
 */
export function guarded(handler: (message: WireMessage) => void, tell: (error: IoError) => void): (message: WireMessage) => void {
  return (message) => {
    try {
      handler(message);
    } catch (error) {
      if (isIoError(error)) return tell(error);
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}

import { useEffect, useRef, useState } from "react";
import { EventSourceParserStream } from "eventsource-parser/stream";

import { stream, type BlockLine } from "./client";

const AGAIN_MS = 2_000;

export type TailState = "connecting" | "live" | "interrupted";

/**
 * Follows the ledger block by block, and begins again after the last block when the connection
 * breaks. `EventSource` cannot send the token's header, so the events are read from a fetch.
 */
export function useTail(onBlock: (line: BlockLine) => void): TailState {
  const [state, setState] = useState<TailState>("connecting");
  const latest = useRef(onBlock);
  useEffect(() => {
    latest.current = onBlock;
  });
  useEffect(() => {
    const ending = new AbortController();
    let after: number | null = null;
    const run = async () => {
      while (!ending.signal.aborted) {
        try {
          const query = after === null ? "" : `?after=${after}`;
          const body = await stream(`tail${query}`, ending.signal);
          setState("live");
          const events = body
            .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
            .pipeThrough(new EventSourceParserStream());
          for await (const event of events) {
            if (event.event !== "block") continue;
            const line = JSON.parse(event.data) as BlockLine;
            after = line.height;
            latest.current(line);
          }
        } catch {
          // Told by the state; a problem that stays shows on the page's own requests.
        }
        if (ending.signal.aborted) return;
        setState("interrupted");
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    };
    void run();
    return () => ending.abort();
  }, []);
  return state;
}

import { Button } from "react-aria-components";

import { Trouble, sentence } from "../parts";
import type { Running } from "./studies";

/** Why nothing can be begun now, where another study is the reason. */
export function Busy({ isBusy, own }: { isBusy: boolean; own: Running }) {
  if (!isBusy || own.isRunning) return null;
  return <p className="muted note">Another study is running. One at a time for each account.</p>;
}

/** A study as it goes on: what is being done, for how long, and how to stop it. */
export function Progress({ running, onAway }: { running: Running; onAway?: () => void }) {
  const { study, isLost, isAway, trouble, stop } = running;
  if (isLost) {
    return (
      <div className="state" role="alert">
        <h3>The node has forgotten this</h3>
        <p>
          Studies are kept in memory alone, and the node was started again since.{" "}
          {running.kind === "release"
            ? "Give the same release again: it goes on from where it was, and charges nothing a second time."
            : "Nothing was released or charged. Begin it again."}
        </p>
        {onAway === undefined ? null : <Button onPress={onAway}>Put it away</Button>}
      </div>
    );
  }
  if (trouble !== null) return <Trouble>{trouble}</Trouble>;
  if (study === null) return null;
  if (study.state === "failed" || study.state === "stopped") {
    const words = study.problem?.error ?? "it ended without a word";
    return <Trouble>{study.state === "stopped" ? "Stopped. Nothing was released." : sentence(words)}</Trouble>;
  }
  if (study.state !== "running") return null;
  return (
    <div className="progress">
      <div className="slider-head">
        <span role="status">{sentence(study.stage)}</span>
        <span className="figure muted nowrap">{Math.floor(study.seconds)} s</span>
      </div>
      <div className="bar whole moving" aria-hidden="true">
        <i />
      </div>
      <div className="slider-head">
        <span className={isAway ? "refused note" : "muted note"}>
          {isAway
            ? "The node cannot be reached; trying again."
            : study.kind === "release"
              ? "It goes on when you leave this page."
              : "You may leave this page and come back."}
        </span>
        {study.kind === "release" ? null : (
          <Button className="quiet" onPress={stop}>
            Stop
          </Button>
        )}
      </div>
    </div>
  );
}

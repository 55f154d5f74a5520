import type { ReactNode } from "react";
import { Button } from "react-aria-components";

import { Trouble, sentence } from "../parts";
import type { Study } from "./contract";
import type { Running } from "./studies";

/** Why nothing can be begun now, where another study is the reason. */
export function Busy({ isBusy, own }: { isBusy: boolean; own: Running }) {
  if (!isBusy || own.isRunning) return null;
  return <p className="muted note">Another study is running. One at a time for each account.</p>;
}

/** That a result is not of what the form asks for now. */
export function Other({ is, children }: { is: boolean; children: ReactNode }) {
  if (!is) return null;
  return (
    <p className="other note" role="status">
      {children}
    </p>
  );
}

/** A study as it goes on: what is being done, for how long, and how to stop it; and why it came to nothing. */
export function Progress({ running, onAway }: { running: Running; onAway: () => void }) {
  return (
    <>
      <Trouble>{running.trouble}</Trouble>
      <Standing running={running} onAway={onAway} />
    </>
  );
}

function Standing({ running, onAway }: { running: Running; onAway: () => void }) {
  const { study, isLost, unseen, trouble } = running;
  if (isLost) return <Lost running={running} onAway={onAway} />;
  if (unseen !== null && !unseen.isTrying) {
    return (
      <div className="state" role="alert">
        <h3>How far it is cannot be seen</h3>
        <p>{unseen.words}</p>
        <div className="actions">
          <Button onPress={running.look}>Look again</Button>
          <Button onPress={onAway}>Put it away</Button>
        </div>
      </div>
    );
  }
  if (study === null) {
    return unseen === null ? null : (
      <p className="refused note" role="status">
        {unseen.words}
      </p>
    );
  }
  if (study.state === "running") return <Moving running={running} study={study} />;
  // What was tried after it has not begun, and says why itself.
  if (trouble !== null || study.state === "done") return null;
  if (study.state === "stopped") return <Trouble>Stopped. Nothing was released.</Trouble>;
  return <Failed running={running} study={study} onAway={onAway} />;
}

function Moving({ running: { unseen, stop, stopTrouble }, study }: { running: Running; study: Study }) {
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
        <span className={unseen === null ? "muted note" : "refused note"}>
          {unseen !== null
            ? unseen.words
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
      <Trouble>{stopTrouble}</Trouble>
    </div>
  );
}

/** What to do about a release of which nobody can say how far it came. */
function Again({ repeat, onAway }: { repeat: Running["repeat"]; onAway: () => void }) {
  return (
    <>
      <p>
        It may have been charged. Giving exactly the same release again goes on from where it was; what was charged already
        is not charged again.
      </p>
      <div className="actions">
        {repeat === null ? null : (
          <Button className="primary" onPress={repeat}>
            Give the same release again
          </Button>
        )}
        <Button onPress={onAway}>Put it away</Button>
      </div>
    </>
  );
}

function Failed({ running, study, onAway }: { running: Running; study: Study; onAway: () => void }) {
  const words = sentence(study.problem?.error ?? "it ended without a word");
  if (study.kind !== "release") return <Trouble>{words}</Trouble>;
  return (
    <div className="state" role="alert">
      <h3>The release was not finished</h3>
      <p className="refused">{words}</p>
      <Again repeat={running.repeat} onAway={onAway} />
    </div>
  );
}

function Lost({ running, onAway }: { running: Running; onAway: () => void }) {
  const isRelease = running.kind === "release";
  return (
    <div className="state" role="alert">
      <h3>The node has forgotten this</h3>
      <p>
        Studies are kept in the node&rsquo;s memory, and it was started again since, or many others have followed.
        {isRelease ? null : " Nothing was released or charged. Begin it again."}
      </p>
      {isRelease ? (
        <Again repeat={running.repeat} onAway={onAway} />
      ) : (
        <Button onPress={onAway}>Put it away</Button>
      )}
    </div>
  );
}

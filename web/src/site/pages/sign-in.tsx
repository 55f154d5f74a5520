import { useState, type ReactNode } from "react";
import { Button } from "react-aria-components";
import { encode } from "uqr";

import { Refusal, site, type Begun, type Who } from "../api";
import { Doing, Field, Once, Trouble } from "../parts";

function Card({ title, lead, children }: { title: string; lead?: ReactNode; children: ReactNode }) {
  return (
    <main className="sign-in">
      <div className="card">
        <p className="brand">
          <img src="/icon.svg" alt="" width="26" height="26" /> Salus
        </p>
        <h1>{title}</h1>
        {lead === undefined ? null : <p className="muted">{lead}</p>}
        {children}
      </div>
    </main>
  );
}

/** Name and password, and then the second factor where there is one. */
export function SignInToSite({ ended, onDone }: { ended: boolean; onDone: (who: Who) => void }) {
  const [way, setWay] = useState<"password" | "invitation">("password");
  if (way === "invitation") {
    return <Invitation onBack={() => setWay("password")} onDone={onDone} />;
  }
  return <Password ended={ended} onInvitation={() => setWay("invitation")} onDone={onDone} />;
}

function Password({
  ended,
  onInvitation,
  onDone,
}: {
  ended: boolean;
  onInvitation: () => void;
  onDone: (who: Who) => void;
}) {
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const [second, setSecond] = useState<"none" | "code" | "recovery">("none");
  const [code, setCode] = useState("");
  const submit = async () => {
    const typed = { login, password };
    try {
      if (second === "none") onDone(await site.signIn(typed));
      else onDone(await site.signIn({ ...typed, [second]: code }));
    } catch (error) {
      if (error instanceof Refusal && error.reason === "code-wanted") {
        setSecond("code");
        return;
      }
      setCode("");
      throw error;
    }
  };
  if (second !== "none") {
    const isApp = second === "code";
    return (
      <Card
        title="Second factor"
        lead={isApp ? "The six digits that your authenticator app shows for Salus." : "One of the ten codes that you kept. It works once."}
      >
        <Doing label="Sign in" action={submit} isReady={code.trim() !== ""}>
          <Field
            key={second}
            label={isApp ? "Code" : "Recovery code"}
            value={code}
            onChange={setCode}
            autoComplete={isApp ? "one-time-code" : "off"}
          />
        </Doing>
        <div className="beneath">
          <Button className="quiet" onPress={() => setSecond(isApp ? "recovery" : "code")}>
            {isApp ? "Use a recovery code" : "Use the app"}
          </Button>
          <Button className="quiet" onPress={() => setSecond("none")}>
            Back
          </Button>
        </div>
      </Card>
    );
  }
  return (
    <Card title="Sign in">
      {ended ? <Trouble>Your session has ended. Sign in again; nothing was lost.</Trouble> : null}
      <Doing label="Continue" action={submit} isReady={login.trim() !== "" && password !== ""}>
        <Field label="Name" value={login} onChange={setLogin} autoComplete="username" />
        <Field
          label="Password"
          type="password"
          value={password}
          onChange={setPassword}
          autoComplete="current-password"
        />
      </Doing>
      <div className="beneath">
        <Button className="quiet" onPress={onInvitation}>
          I have an invitation
        </Button>
      </div>
    </Card>
  );
}

function Invitation({ onBack, onDone }: { onBack: () => void; onDone: (who: Who) => void }) {
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const differs = again !== "" && again !== password;
  const submit = async () => {
    onDone(await site.accept(code.trim(), password));
  };
  return (
    <Card
      title="Take up an invitation"
      lead="The code comes from your administrator, and holds for three days."
    >
      <Doing
        label="Choose this password"
        action={submit}
        isReady={code.trim() !== "" && password !== "" && again === password}
      >
        <Field label="Invitation code" value={code} onChange={setCode} />
        <Field
          label="New password"
          type="password"
          value={password}
          onChange={setPassword}
          autoComplete="new-password"
          hint="At least 12 characters. Several words that do not belong together are good."
        />
        <Field
          label="The same again"
          type="password"
          value={again}
          onChange={setAgain}
          autoComplete="new-password"
          error={differs ? "The two differ." : null}
        />
      </Doing>
      <div className="beneath">
        <Button className="quiet" onPress={onBack}>
          Back to signing in
        </Button>
      </div>
    </Card>
  );
}

/** The QR code of an address, drawn as one path, so that no style and no request is needed. */
function QrCode({ text }: { text: string }) {
  const { data, size } = encode(text, { ecc: "M", border: 2 });
  const path = data
    .flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")))
    .join("");
  return (
    <svg className="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label="The same as a QR code for the app">
      <rect width={size} height={size} fill="#ffffff" />
      <path d={path} fill="#000000" shapeRendering="crispEdges" />
    </svg>
  );
}

/** Setting up the second factor; `begun` is asked for once, when the person is ready. */
export function FactorSteps({ onDone, label }: { onDone: (who: Who) => void; label: string }) {
  const [begun, setBegun] = useState<Begun | null>(null);
  const [code, setCode] = useState("");
  if (begun === null) {
    const begin = async () => setBegun(await site.beginFactor());
    return (
      <Doing label={label} action={begin}>
        <p>
          You need an authenticator app on your phone, such as Aegis, FreeOTP or the one your
          organisation uses. It will show six digits that change every half minute.
        </p>
      </Doing>
    );
  }
  const confirm = async () => onDone(await site.confirmFactor(code));
  return (
    <>
      <ol className="steps">
        <li>
          <h2>Scan this with the app</h2>
          <QrCode text={begun.uri} />
          <p className="muted">Or type the secret into it:</p>
          <Once value={begun.secret} label="the secret" />
        </li>
        <li>
          <h2>Keep these codes</h2>
          <p className="muted">
            Each works once, when the phone is lost. They are not shown again.
          </p>
          <ul className="codes">
            {begun.recovery.map((one) => (
              <li key={one}>
                <code>{one}</code>
              </li>
            ))}
          </ul>
        </li>
        <li>
          <h2>Type what the app shows</h2>
        </li>
      </ol>
      <Doing label="Confirm" action={confirm} isReady={code.trim().length >= 6}>
        <Field label="Code" value={code} onChange={setCode} autoComplete="one-time-code" />
      </Doing>
    </>
  );
}

export function Enrol({ who, onDone, onLeave }: { who: Who; onDone: (who: Who) => void; onLeave: () => void }) {
  return (
    <Card
      title="Set up a second factor"
      lead={`${who.account.role === "steward" ? "Data stewards" : "Administrators"} sign in with a password and a code: one guessed password must not open what you look after.`}
    >
      <FactorSteps onDone={onDone} label="Begin" />
      <div className="beneath">
        <Button className="quiet" onPress={onLeave}>
          Sign out
        </Button>
      </div>
    </Card>
  );
}

import { Link } from "@tanstack/react-router";
import { useContext, useEffect, useState, type ReactNode } from "react";
import {
  Button,
  Dialog,
  DialogTrigger,
  Heading,
  OverlayTriggerStateContext,
  Popover,
  type PopoverProps,
} from "react-aria-components";

import type { About, Loss } from "../api/client";
import { count, epsilon, short, shortId, time } from "./format";

/** A hash, cut in the middle for the eye, whole for copying. */
export function Hash({ value, name }: { value: string; name: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(value).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    });
  };
  return (
    <span className="hash">
      <code title={value}>{value.includes("-") ? shortId(value) : short(value)}</code>
      <Button className="quiet" aria-label={`Copy ${name}`} onPress={copy}>
        {copied ? "copied" : "copy"}
      </Button>
    </span>
  );
}

export function Time({ value }: { value: string }) {
  return (
    <time dateTime={value} title={value} className="figure">
      {time(value)}
    </time>
  );
}

export function Count({ value }: { value: number }) {
  return <span className="figure">{count(value)}</span>;
}

/** A loss of privacy: ε for the eye, micro-ρ for the sums. */
export function Amount({ loss }: { loss: Loss | null | undefined }) {
  if (loss === null || loss === undefined) return <span className="muted">not bounded</span>;
  return (
    <span className="figure amount">
      ε {epsilon(loss.epsilon)} <small>{count(loss.micro_rho)} µρ</small>
    </span>
  );
}

/** A popover within the page's content, so that it belongs to a landmark; or within the window that
 * is open over the page. */
export function Over(props: PopoverProps) {
  // Looked up anew when it opens: a window that was open when the page was drawn may be gone since.
  useContext(OverlayTriggerStateContext);
  const around = document.querySelector(".modal") ?? document.getElementById("main");
  return <Popover {...props} {...(around === null ? {} : { UNSTABLE_portalContainer: around })} />;
}

/** A word that explains itself in a sentence or two. */
export function Explain({ word, children }: { word: ReactNode; children: ReactNode }) {
  return (
    <DialogTrigger>
      <Button className="explain">{word}</Button>
      <Over className="popover" placement="bottom start" offset={6}>
        <Dialog className="meaning">
          <Heading slot="title">{word}</Heading>
          <div>{children}</div>
        </Dialog>
      </Over>
    </DialogTrigger>
  );
}

export function Outcome({ outcome }: { outcome: { word: string; rule?: string | null } }) {
  if (outcome.word === "applied") return <span className="outcome">applied</span>;
  return (
    <span className="outcome refused">
      refused{outcome.rule ? <code>{outcome.rule}</code> : null}
    </span>
  );
}

export function MemberLink({ id }: { id: string }) {
  return (
    <Link to="/members/$id" params={{ id }}>
      {id}
    </Link>
  );
}

export function DatasetLink({ id }: { id: string }) {
  const [holder = "", name = ""] = id.split("/");
  return (
    <Link to="/datasets/$holder/$name" params={{ holder, name }}>
      {id}
    </Link>
  );
}

export function PermitLink({ id }: { id: string }) {
  return (
    <Link to="/permits/$id" params={{ id }} title={id} className="id">
      {shortId(id)}
    </Link>
  );
}

export function ReceiptLink({ id }: { id: string }) {
  return (
    <Link to="/receipts/$id" params={{ id }} title={id} className="id">
      {shortId(id)}
    </Link>
  );
}

export function TransactionLink({ id }: { id: string }) {
  return (
    <Link to="/transactions/$id" params={{ id }} title={id} className="id">
      {short(id)}
    </Link>
  );
}

export function BlockLink({ height }: { height: number }) {
  return (
    <Link to="/blocks/$name" params={{ name: String(height) }} className="figure">
      {count(height)}
    </Link>
  );
}

export function AboutList({ about }: { about: About[] }) {
  if (about.length === 0) return <span className="muted">–</span>;
  return (
    <ul className="about beside">
      {about.map((subject) => (
        <li key={`${subject.kind} ${subject.id}`}>
          {subject.kind === "member" ? <MemberLink id={subject.id} /> : null}
          {subject.kind === "dataset" ? <DatasetLink id={subject.id} /> : null}
          {subject.kind === "permit" ? <PermitLink id={subject.id} /> : null}
        </li>
      ))}
    </ul>
  );
}

/** Names and values, one below the other. */
export function Facts({ items }: { items: [name: ReactNode, value: ReactNode][] }) {
  return (
    <dl className="facts">
      {items.map(([name, value], at) => (
        <div key={at}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Page({
  title,
  lead,
  children,
}: {
  title: ReactNode;
  lead?: ReactNode;
  children: ReactNode;
}) {
  const name = typeof title === "string" ? title : null;
  useEffect(() => {
    document.title = name === null ? "Salus" : `${name} · Salus`;
  }, [name]);
  return (
    <>
      <header className="page">
        <h1>{title}</h1>
        {lead === undefined ? null : <p>{lead}</p>}
      </header>
      {children}
    </>
  );
}

export function Section({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section>
      <div className="section-head">
        <h2>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

/** Wide tables scroll by themselves, and by keyboard too. */
export function Table({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="table" role="region" aria-label={label} tabIndex={0}>
      <table>{children}</table>
    </div>
  );
}

import { useState, type FormEvent } from "react";
import { Button, FieldError, Form, Input, Label, Text, TextField } from "react-aria-components";

import { answered, api, Problem } from "../api/client";
import { forgetToken, keepToken } from "../api/session";

export function SignIn({ onDone }: { onDone: () => void }) {
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [waiting, setWaiting] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setWaiting(true);
    setProblem(null);
    keepToken(typed);
    try {
      await answered(api.GET("/v1/explorer/configuration"));
      onDone();
    } catch (error) {
      forgetToken();
      const refused = error instanceof Problem && error.isRefused;
      setProblem(
        refused
          ? "This is not the token of this validator. It has 64 characters and changes when its file is deleted."
          : "The validator cannot be reached. Check that it runs on this machine.",
      );
    } finally {
      setWaiting(false);
    }
  };
  return (
    <main className="sign-in">
      <Form onSubmit={(event) => void submit(event)}>
        <p className="brand">
          <img src="/icon.svg" alt="" width="26" height="26" /> Salus
        </p>
        <h1>Read the ledger</h1>
        <TextField
          value={typed}
          onChange={setTyped}
          isRequired
          isInvalid={problem !== null}
          type="password"
          autoComplete="off"
          validationBehavior="aria"
        >
          <Label>Console token</Label>
          <Input className="field" />
          <Text slot="description">
            The line in the file <code>console.token</code> in the validator&rsquo;s folder.
          </Text>
          <FieldError>{problem}</FieldError>
        </TextField>
        <Button type="submit" className="primary" isDisabled={typed.trim() === ""} isPending={waiting}>
          {waiting ? "Asking…" : "Continue"}
        </Button>
        <p className="muted">
          The token lets this tab read what every member of the ledger may read, and change nothing.
        </p>
      </Form>
    </main>
  );
}

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode, useCallback, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { takeFromAddress, token } from "./api/session";
import { SignIn } from "./pages/sign-in";
import { router } from "./routes";
import { Refusal, site, whenSessionEnds, type Who } from "./site/api";
import { BASE, isSite } from "./site/mode";
import { Enrol, SignInToSite } from "./site/pages/sign-in";
import { SessionContext } from "./site/session";
import "./styles.css";
import { again, delay } from "./ui/retry";
import { Loading } from "./ui/states";
import { showKnownTheme } from "./ui/theme";

takeFromAddress();
showKnownTheme();

// The tail tells when something is new.
const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: again,
      retryDelay: delay,
    },
  },
});

/** The console of a site, where people sign in. */
function Site() {
  const [who, setWho] = useState<Who | null | undefined>(undefined);
  const [ended, setEnded] = useState(false);
  const [trouble, setTrouble] = useState<string | null>(null);
  const begin = useCallback((next: Who) => {
    client.clear();
    setEnded(false);
    setWho(next);
  }, []);
  useEffect(() => {
    whenSessionEnds(() => {
      setWho((known) => {
        if (known) setEnded(true);
        return null;
      });
    });
    site.who().then(setWho, (error: unknown) => {
      if (error instanceof Refusal && error.status === 401) setWho(null);
      else setTrouble(error instanceof Refusal ? error.message : "The node cannot be reached.");
    });
  }, []);
  const leave = useCallback(() => {
    const gone = () => {
      client.clear();
      setEnded(false);
      setWho(null);
      window.history.replaceState(null, "", BASE);
    };
    void site.signOut().then(gone, gone);
  }, []);
  if (trouble !== null) {
    return (
      <main className="sign-in">
        <div className="state" role="alert">
          <h1>Nothing to show</h1>
          <p>{trouble}</p>
          <a href={BASE}>Try again</a>
        </div>
      </main>
    );
  }
  if (who === undefined) return <main className="sign-in"><Loading lines={4} /></main>;
  if (who === null) return <SignInToSite ended={ended} onDone={begin} />;
  if (who.strength === "enrolment") return <Enrol who={who} onDone={begin} onLeave={leave} />;
  return (
    <SessionContext value={{ who, changed: setWho, leave }}>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </SessionContext>
  );
}

function Console() {
  const [signedIn, setSignedIn] = useState(token() !== null);
  if (!signedIn) return <SignIn onDone={() => setSignedIn(true)} />;
  return (
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  );
}

const place = document.getElementById("console");
if (place !== null) {
  createRoot(place).render(
    <StrictMode>
      {isSite ? <Site /> : <Console />}
    </StrictMode>,
  );
}

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

import { Problem } from "./api/client";
import { takeFromAddress, token } from "./api/session";
import { SignIn } from "./pages/sign-in";
import { router } from "./routes";
import "./styles.css";
import { showKnownTheme } from "./ui/theme";

takeFromAddress();
showKnownTheme();

// The tail tells when something is new; what a validator refused, it refuses again.
const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: (failures, error) => !(error instanceof Problem) && failures < 2,
      retryDelay: 500,
    },
  },
});

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
      <Console />
    </StrictMode>,
  );
}

import { Link } from "@tanstack/react-router";

/**
 * From a page to the older one, and back to the first. The address carries the place, so that the
 * browser's own way back leads to the page before.
 */
export function Pager({
  at,
  next,
  field,
}: {
  at: unknown;
  next: number | string | null | undefined;
  field: "before" | "after";
}) {
  const first = at === undefined;
  if (first && (next === null || next === undefined)) return null;
  return (
    <nav className="pager" aria-label="Pages">
      {first ? (
        <span className="muted">First page</span>
      ) : (
        <Link to="." search={(old: Record<string, unknown>) => ({ ...old, [field]: undefined })}>
          First page
        </Link>
      )}
      {next === null || next === undefined ? (
        <span className="muted">No more</span>
      ) : (
        <Link to="." search={(old: Record<string, unknown>) => ({ ...old, [field]: next })}>
          {field === "before" ? "Older" : "Next"}
        </Link>
      )}
    </nav>
  );
}
